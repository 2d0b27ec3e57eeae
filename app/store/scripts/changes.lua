-- Included by scripts that change records: the time, and how a record is written.

local MAX_CALL_MS = 305000      -- the longest CALL_DEADLINE_SECONDS, and 5 s
local MAX_DELAY_MS = 120000     -- the longest not_before and the longest pause
local RECHECK_MS = 5000         -- until a take meets the record of another release again
local MAX_RINGS = 100

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function taken_key(token) return key('taken:' .. token) end

-- Stored instants are clamped when read: a failover may land on a host whose clock differs.
local function clamped_instant(stored, max_ahead_ms)
  return math.min(tonumber(stored or 0), now + max_ahead_ms)
end

-- Writes `changes` to the record, here and in Redis; `false` removes a field. What follows is handed to SET:
-- nothing ends a TTL, 'PX' starts one, 'KEEPTTL' keeps it. → the record's text
local function update(id, record, changes, ...)
  for name, value in pairs(changes) do record[name] = value or nil end
  local text = cjson.encode(record)
  redis.call('SET', event_key(id), text, ...)
  return text
end

-- Rings that no worker waits for stay, up to a number that wakes enough of them later.
local function ring_bell()
  if redis.call('LLEN', BELL) < MAX_RINGS then redis.call('LPUSH', BELL, 1) end
end
