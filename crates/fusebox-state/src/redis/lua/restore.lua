-- KEYS: 6 the store's name, where it lies in the same slot or there are no slots.
-- ARGV: 1 epoch, 2 token, 3 its id, 4 owner, 5 ttl in ms, 6 epoch and 7 token id of the lease
-- replaced or '', 8 '1' to make a partition that is not there, 9 revision, 10 version floor,
-- 11 bytes of values, 12 channel, 13 partition, 14 the name of the store it is meant for or '',
-- 15 how many write ids, then for each: revision, id, digest, then for each key: key, record.

if KEYS[6] and ARGV[14] ~= '' and redis.call('GET', KEYS[6]) ~= ARGV[14] then
  return {'OTHER'}
end
if redis.call('HEXISTS', KEYS[5], ARGV[3]) == 1 then
  return {'GIVENUP'}
end

local head = redis.call('HMGET', KEYS[1], 'e', 'o', 'i', 'n', 'd')
if format then
  local own = head[1] == ARGV[1] and head[2] == ARGV[2]
  local replaced = head[1] and head[1] == ARGV[6] and head[3] == ARGV[7]
  if not own and not replaced then
    return {'STALE', head[1] or ''}
  end
  local stored, wanted = tonumber(head[4] or '0'), tonumber(ARGV[9])
  if stored > wanted then
    return {'AHEAD', number(stored)}
  end
  if own and stored == wanted then
    -- The same revision made by another write is one that the owner never saw acknowledged.
    local writes = tonumber(ARGV[15])
    local newest = writes > 0 and ARGV[15 + 3 * (writes - 1) + 2] or ''
    if latest(stored) == newest then
      return {'CURRENT'}
    end
  end
elseif ARGV[8] ~= '1' or redis.call('HEXISTS', KEYS[5], 'removed') == 1 then
  return {'ABSENT'}
end

local now = now_ms()
redis.call('HSET', KEYS[1], 'f', '2', 'e', ARGV[1], 'o', ARGV[2], 'i', ARGV[3], 'w', ARGV[4],
  'x', number(now + tonumber(ARGV[5])), 'n', ARGV[9], 'v', ARGV[10], 'b', ARGV[11], 'c', number(now))
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
local at = 16
for _ = 1, tonumber(ARGV[15]) do
  redis.call('HSET', KEYS[4], number((tonumber(ARGV[at]) - 1) % 128), ARGV[at + 1],
    ARGV[at + 1], ARGV[at + 2])
  at = at + 3
end
while at < #ARGV do
  redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1])
  redis.call('ZADD', KEYS[3], 0, ARGV[at])
  at = at + 2
end
if head[5] then
  for i = 2, 4 do
    redis.call('PEXPIREAT', KEYS[i], head[5])
  end
end
tell(ARGV[12], ARGV[13], tonumber(ARGV[9]))
return {'RESTORED'}
