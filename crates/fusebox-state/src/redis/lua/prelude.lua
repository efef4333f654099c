-- KEYS: 1 head, 2 records, 3 names in byte order, 4 write ids; 5 what is on record beside the
-- partition and outlives it, for those who need it. One hash slot.
-- Every script checks first and writes last: nothing is rolled back here.
-- The first write is an HSET, so that a full or cut-off server refuses all of them or none.
--
-- Head: f format; e epoch, o token, i its id, w owner, x expiry of the lease; p? of the one before;
-- n revision; v version floor; b bytes of values; c time of the latest write; d deadline.
-- Write ids: slot (revision - 1) % 128 -> id, and id -> digest.
-- On record: 'removed', and the ids of leases given up.

local function number(n)
  return string.format('%.0f', n)
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function remaining(expires, now)
  return number(math.max(0, tonumber(expires) - now))
end

-- The revision that a remembered write made, when the partition is at revision n.
local function revision_of(id, n)
  for k = n, math.max(1, n - 127), -1 do
    if redis.call('HGET', KEYS[4], number((k - 1) % 128)) == id then
      return number(k)
    end
  end
  return '0'
end

-- The write that made revision n, or ''.
local function latest(n)
  return n > 0 and redis.call('HGET', KEYS[4], number((n - 1) % 128)) or ''
end

-- The lease as it is answered, or nothing for a partition never leased.
local function lease_parts(head, now)
  if not head[1] then
    return {}
  end
  return {head[1], head[2], remaining(head[3], now), head[4]}
end

-- Bytes of the values; a partition of format 1 has not kept count.
local function value_bytes(counted)
  if counted then
    return tonumber(counted)
  end
  local sum = 0
  for _, record in ipairs(redis.call('HVALS', KEYS[2])) do
    sum = sum + #record - 17
  end
  return sum
end

-- Puts something on record for a week from a moment on, or longer.
local function record(what, from, now)
  redis.call('HSET', KEYS[5], what, '1')
  local ttl = from - now + 604800000
  if redis.call('PTTL', KEYS[5]) < ttl then
    redis.call('PEXPIRE', KEYS[5], number(ttl))
  end
end

-- Tells watchers. Where channels are forbidden nobody can watch, and the write stands all the same.
local function tell(channel, name, revision)
  redis.pcall('PUBLISH', channel, number(revision) .. ' ' .. name)
end

local format = redis.call('HGET', KEYS[1], 'f')
if format and format ~= '1' and format ~= '2' then
  return {'FORMAT', format}
end

