-- What a script includes that changes records: the time, and how a record is written.

local MAX_CALL_MS = 305000      -- the longest CALL_DEADLINE_SECONDS, and 5 s
local MAX_DELAY_MS = 120000     -- the longest not_before and the longest pause
local RECHECK_MS = 5000         -- when to look again at a record of a newer release
local MAX_RINGS = 100

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function taken_key(token) return key('taken:' .. token) end

-- Stored instants are clamped when read: a failover may land on a host whose clock differs.
local function instant(stored, max_ahead_ms)
  return math.min(tonumber(stored or 0), now + max_ahead_ms)
end

local function as_text(record)
  local lines, last = {}, 0
  for place, name in ipairs(FIELDS) do
    lines[place] = record[name] or ''
    if record[name] then last = place end
  end
  for place = #FIELDS + 1, record.last_place or 0 do   -- a newer release's
    lines[place], last = record[place], place
  end
  return table.concat(lines, '\n', 1, last)
end

-- Writes `changes` to the record, here and in Redis; `false` removes a field. → its text
local function update(id, record, changes)
  for name, value in pairs(changes) do record[name] = value and tostring(value) or nil end
  local text = as_text(record)
  redis.call('SET', event_key(id), text, 'KEEPTTL')
  return text
end

-- Workers that are idle listen; while nobody is, the rings stay, and are enough.
local function ring()
  if redis.call('LLEN', BELL) < MAX_RINGS then redis.call('LPUSH', BELL, 1) end
end
