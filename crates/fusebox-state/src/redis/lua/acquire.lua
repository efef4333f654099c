-- ARGV: 1 token, 2 its id, 3 owner, 4 ttl in ms, 5 id of the lease to take over or '',
-- 6 '1' where a lease that has run out stands in the way too.

local now = now_ms()
local head = redis.call('HMGET', KEYS[1], 'e', 'o', 'i', 'w', 'x', 'pe', 'pi', 'pw', 'px')
local epoch, token, id, owner, expires = head[1], head[2], head[3], head[4], head[5]
-- The same request again, because its answer was lost.
if token == ARGV[1] then
  if not head[6] then
    return {'ACQUIRED', epoch}
  end
  return {'ACQUIRED', epoch, head[6], head[8], remaining(head[9], now), head[7]}
end
if epoch and (ARGV[6] == '1' or tonumber(expires) > now) and id ~= ARGV[5] then
  return {'HELD', epoch, owner, remaining(expires, now), id}
end

local new = now
if epoch and tonumber(epoch) + 1 > new then
  new = tonumber(epoch) + 1
end
redis.call('HSET', KEYS[1], 'f', '2', 'e', number(new), 'o', ARGV[1], 'i', ARGV[2], 'w', ARGV[3],
  'x', number(now + tonumber(ARGV[4])))
if not epoch then
  return {'ACQUIRED', number(new)}
end
redis.call('HSET', KEYS[1], 'pe', epoch, 'pi', id, 'pw', owner, 'px', expires)
return {'ACQUIRED', number(new), epoch, owner, remaining(expires, now), id}
