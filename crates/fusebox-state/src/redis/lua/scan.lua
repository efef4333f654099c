-- ARGV: 1 lower and 2 upper bound, 3 most records, 4 bytes after which the page ends.

local limit, bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
local keys = redis.call('ZRANGEBYLEX', KEYS[3], ARGV[1], ARGV[2], 'LIMIT', 0, limit + 1)
local page = {'PAGE', ''}
for i, key in ipairs(keys) do
  if i > limit or bytes <= 0 then
    page[2] = 'MORE'
    break
  end
  local record = redis.call('HGET', KEYS[2], key)
  if not record then
    return {'DAMAGED', key}
  end
  bytes = bytes - #record
  page[#page + 1] = key
  page[#page + 1] = record
end
return page
