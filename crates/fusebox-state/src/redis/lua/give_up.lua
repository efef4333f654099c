-- ARGV: 1 epoch, 2 token, 3 its id.

local head = redis.call('HMGET', KEYS[1], 'e', 'o')
if head[1] == ARGV[1] and head[2] == ARGV[2] then
  return {'CURRENT'}
end
local now = now_ms()
record(ARGV[3], now, now)
return {'RECORDED'}
