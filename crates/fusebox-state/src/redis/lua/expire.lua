-- ARGV: 1 ttl in ms, or '' to keep for ever.

if not format then
  return {'NONE'}
end
if ARGV[1] == '' then
  redis.call('HDEL', KEYS[1], 'd')
  for i = 1, 4 do
    redis.call('PERSIST', KEYS[i])
  end
elseif ARGV[1] == '0' then
  for i = 1, 4 do
    redis.call('DEL', KEYS[i])
  end
else
  local deadline = number(now_ms() + tonumber(ARGV[1]))
  redis.call('HSET', KEYS[1], 'd', deadline)
  for i = 1, 4 do
    redis.call('PEXPIREAT', KEYS[i], deadline)
  end
end
return {'DONE'}
