-- ARGV: 1 ttl in ms, or '' to keep for ever.

if not format then
  return {'NONE'}
end
if ARGV[1] == '' then
  redis.call('HDEL', KEYS[1], 'd')
  for i = 1, 4 do
    redis.call('PERSIST', KEYS[i])
  end
  redis.call('HDEL', KEYS[5], 'removed')
  return {'DONE'}
end
local now = now_ms()
local deadline = now + tonumber(ARGV[1])
redis.call('HSET', KEYS[1], 'd', number(deadline))
record('removed', deadline, now)
for i = 1, 4 do
  if ARGV[1] == '0' then
    redis.call('DEL', KEYS[i])
  else
    redis.call('PEXPIREAT', KEYS[i], number(deadline))
  end
end
return {'DONE'}
