-- ARGV: 1 write id, 2 digest, 3 epoch or '', 4 token or '', 5 revision or '', 6 latest write or '',
-- 7 channel, 8 partition, then for each change: key, 'p' or 'd', '*' or '-' or a version, hash and value.

local head = redis.call('HMGET', KEYS[1], 'e', 'o', 'n', 'v', 'd', 'b')
local writes = tonumber(head[3] or '0')
local written = redis.call('HGET', KEYS[4], ARGV[1])
if written then
  if written ~= ARGV[2] then
    return {'DIFFERENT'}
  end
  return {'DUPLICATE', revision_of(ARGV[1], writes)}
end
if (head[1] or '') ~= ARGV[3] or (head[2] or '') ~= ARGV[4] then
  return {'STALE', head[1] or ''}
end
if ARGV[5] ~= '' and ARGV[5] ~= number(writes) or ARGV[6] ~= '' and ARGV[6] ~= latest(writes) then
  return {'REVISION', number(writes)}
end

local floor = tonumber(head[4] or '0')
local lifted = floor
local bytes = value_bytes(head[6])
local versions = {}
for i = 9, #ARGV, 4 do
  local key, expect = ARGV[i], ARGV[i + 2]
  local record = redis.call('HGET', KEYS[2], key)
  local version = false
  if record then
    if #record < 17 or string.byte(record) ~= 1 then
      return {'DAMAGED', key}
    end
    version = struct.unpack('>I8', record, 2)
    bytes = bytes - (#record - 17)
  end
  local found = version and number(version) or '-'
  if expect ~= '*' and expect ~= found then
    return {'CONFLICT', key, version and found or ''}
  end
  versions[i] = version
  if ARGV[i + 1] == 'd' then
    if version and version > lifted then
      lifted = version
    end
  else
    bytes = bytes + #ARGV[i + 3] - 8
  end
end

redis.call('HSET', KEYS[1], 'f', '2', 'n', number(writes + 1), 'v', number(lifted),
  'b', number(bytes), 'c', number(now_ms()))
-- Write ids are 16 bytes long, so they cannot be taken for a slot.
local slot = number(writes % 128)
local oldest = redis.call('HGET', KEYS[4], slot)
if oldest then
  redis.call('HDEL', KEYS[4], oldest)
end
redis.call('HSET', KEYS[4], slot, ARGV[1], ARGV[1], ARGV[2])
for i = 9, #ARGV, 4 do
  local key = ARGV[i]
  if ARGV[i + 1] == 'p' then
    local version = struct.pack('>I8', (versions[i] or floor) + 1)
    redis.call('HSET', KEYS[2], key, '\1' .. version .. ARGV[i + 3])
    redis.call('ZADD', KEYS[3], 0, key)
  else
    redis.call('HDEL', KEYS[2], key)
    redis.call('ZREM', KEYS[3], key)
  end
end
-- A key that this write made must expire with the others.
if head[5] then
  for i = 2, 4 do
    redis.call('PEXPIREAT', KEYS[i], head[5])
  end
end
tell(ARGV[7], ARGV[8], writes + 1)
return {'APPLIED', number(writes + 1)}
