local head = redis.call('HMGET', KEYS[1], 'e', 'w', 'x', 'i')
if not head[1] then
  return {'NONE'}
end
return {'LEASE', unpack(lease_parts(head, now_ms()))}
