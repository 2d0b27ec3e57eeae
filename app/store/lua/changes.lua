-- Included by scripts that write: the time, and how a record is written.
--
-- Redis undoes nothing, and may refuse any command of a script (an ACL, a full memory, a key of a wrong type). So
-- that a script which stops half-way leaves nothing half-done for good, each writes in this order: a removal, what
-- the gate learns, the entry in the set that the event goes to, indexes, the record, the entries in other sets,
-- and by `pcall` notices and the bell. A repeat finds either the old record, and does all of it again, or the new
-- one, and removes the entries.

local MAX_CALL_MS = 305000      -- the longest CALL_DEADLINE_SECONDS, and 5 s
local MAX_DELAY_MS = 120000     -- the longest wait after a call, and the longest pause
local MAX_LOOK_DELAY_MS = 1205000   -- of a look after a message: MAX_CALL_MS, and three of the longest deadlines
local RECHECK_MS = 5000         -- until a take meets the record of another release again
local MAX_RINGS = 100

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function taken_key(token) return key('taken:' .. token) end
local function text_key(id) return key('text:' .. id) end

-- Stored instants are clamped when read: a failover may land on a host whose clock differs.
local function clamped_instant(stored, max_ahead_ms)
  return math.min(tonumber(stored or 0), now + max_ahead_ms)
end

-- A removal, of nothing: when memory is full, Redis refuses a script's first write unless it frees memory, and
-- lets the later ones pass.
local function begin_writing()
  redis.call('HDEL', GATE, '')
  confirm()
end

-- Writes `changes` to the record, here and in Redis; `false` removes a field. What follows is handed to SET:
-- nothing ends a TTL, 'PX' starts one, 'KEEPTTL' keeps it. → the record's text
local function update(id, record, changes, ...)
  for name, value in pairs(changes) do record[name] = value or nil end
  local text = cjson.encode(record)
  redis.call('SET', event_key(id), text, ...)
  return text
end

-- Counts what happened in this minute, for operators. It stops no script, and a repeat does not count again.
local MINUTE_MS, MINUTES_KEPT_MS = 60000, 7200000

local function count_minute(what)
  local minute = key('minute:' .. math.floor(now / MINUTE_MS))
  if redis.pcall('HINCRBY', minute, what, 1) ~= 1 then return end
  if redis.pcall('PEXPIRE', minute, MINUTES_KEPT_MS) ~= 1 then redis.pcall('DEL', minute) end
end

-- Rings that no worker waits for stay, up to a number that wakes enough of them later.
local function ring_bell()
  local rings = redis.pcall('LLEN', BELL)
  if type(rings) == 'number' and rings < MAX_RINGS then redis.pcall('LPUSH', BELL, 1) end
end
