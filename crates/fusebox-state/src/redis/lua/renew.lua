-- ARGV: 1 epoch, 2 token, 3 ttl in ms, or '' to release.

local head = redis.call('HMGET', KEYS[1], 'e', 'o')
if head[1] ~= ARGV[1] or head[2] ~= ARGV[2] then
  return {'LOST', head[1] or ''}
end
local expires = '0'
if ARGV[3] ~= '' then
  expires = number(now_ms() + tonumber(ARGV[3]))
end
redis.call('HSET', KEYS[1], 'x', expires)
return {'DONE'}
