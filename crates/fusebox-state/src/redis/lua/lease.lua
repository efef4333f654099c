local head = redis.call('HMGET', KEYS[1], 'e', 'w', 'x', 'i')
if not head[1] then
  return {'NONE'}
end
return {'LEASE', head[1], head[2], remaining(head[3], now_ms()), head[4]}
