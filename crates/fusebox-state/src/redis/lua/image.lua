-- ARGV: 1 most bytes of names and values.

if not format then
  return {'NONE'}
end
local head = redis.call('HMGET', KEYS[1], 'n', 'v', 'b', 'e', 'i')
local limit = tonumber(ARGV[1])
-- Looked at before anything large is read.
local counted = value_bytes(head[3])
if counted > limit then
  return {'LARGE', number(counted)}
end
local n = tonumber(head[1] or '0')
local ids, digests = {}, {}
for k = math.max(1, n - 127), n do
  local id = redis.call('HGET', KEYS[4], number((k - 1) % 128))
  local digest = id and redis.call('HGET', KEYS[4], id)
  if digest then
    ids[#ids + 1] = id .. digest .. number(k)
  end
end
local answer = {'IMAGE', number(n), head[2] or '0', head[4] or '', head[5] or '', number(#ids)}
for _, id in ipairs(ids) do
  answer[#answer + 1] = id
end
local bytes = 0
for _, key in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
  local record = redis.call('HGET', KEYS[2], key)
  if not record then
    return {'DAMAGED', key}
  end
  bytes = bytes + #key + #record - 17
  if bytes > limit then
    return {'LARGE', number(bytes)}
  end
  answer[#answer + 1] = key
  answer[#answer + 1] = record
end
return answer
