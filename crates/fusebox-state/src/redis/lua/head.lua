local head = redis.call('HMGET', KEYS[1], 'e', 'w', 'x', 'i', 'n', 'b', 'c', 'd')
if not format then
  return {'NONE'}
end
local now = now_ms()
local expires = head[8] and remaining(head[8], now) or ''
local answer = {'HEAD', head[5] or '0', number(redis.call('HLEN', KEYS[2])),
  number(value_bytes(head[6])), head[7] or '', expires,
  latest(tonumber(head[5] or '0'))}
for _, part in ipairs(lease_parts(head, now)) do
  answer[#answer + 1] = part
end
return answer
