-- KEYS: 1 head, 2 records, 3 names in byte order, 4 write ids. One hash slot.
-- Every script checks first and writes last: nothing is rolled back here.
-- The first write is an HSET, so that a full or cut-off server refuses all of them or none.

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

local format = redis.call('HGET', KEYS[1], 'f')
if format and format ~= '1' then
  return {'FORMAT', format}
end

