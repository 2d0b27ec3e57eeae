-- What every script shares: its text goes in front of each of them, and where a script needs them, those of
-- transitions.lua and gate.lua behind it (see scripts.py).
--
-- KEYS[1] is "{relay}", the hash tag that makes every key below one slot; ARGV[1] is one JSON object.
--
--   {relay}:event:<event_id>  string: the record (below)
--   {relay}:due               zset: every `accepted` event, by the instant at which it may be called
--   {relay}:calling           zset: every `calling` event, by the instant at which its call must be over
--   {relay}:held              zset: every `unknown` event, by since when
--   {relay}:failed            zset: failed events by when, as long as their records are kept
--   {relay}:bell              list: rings for idle workers
--   {relay}:taken:<token>     string: the event id of a grant, empty once it was settled or released; and that
--                             of an operator's command, once it was carried out
--   {relay}:user:<user_id>    zset: the user's newest opened events by when
--   {relay}:chat:<chat_id>    string: the event id
--   {relay}:gate              hash: bucket, pause, breaker, probes
--   {relay}:settled           pub/sub: ids of events that are settled or held
--
-- An open event is in exactly one of `due` and `calling`. All instants are Redis TIME in ms.
--
-- The record is a text with a line for each of FIELDS, in that order; what it does not have is an empty line.
-- As a hash it took twice the memory, and longer to read: docs/decisions/0013-what-made-it-fast.md. No value
-- has a line break in it. The first two lines are the same in every release; a new field goes to the end, here
-- and in records.py, and an older release keeps the lines that it does not know.

local FIELDS = {
  'v', 'status', 'user', 'fingerprint', 'accepted',
  'ttl',          -- ms
  'attempt',      -- the fence, only grows
  'attempts',     -- grants less those given back
  'metadata',     -- JSON
  'settled', 'chat_id',
  'chat',         -- see records.py
  'traceparent',  -- of the request that brought it, until it is settled
  'token',        -- of the grant
  'on_unknown',
  'unknowns',     -- attempts whose end nobody knows
  'consented',    -- the automatic consent is used up
  'orphan',
  'since',        -- when its deadline began anew
  'duplicates',   -- chat ids joined by "/"
  'failure',      -- JSON
  'history',      -- JSON
}
local VERSION = '1'
local STATUSES = {accepted = true, calling = true, opened = true, failed = true, unknown = true}
local MAX_CALL_MS = 305000      -- the longest CALL_DEADLINE_SECONDS, and 5 s
local MAX_DELAY_MS = 120000     -- the longest not_before and the longest pause
local RECHECK_MS = 5000         -- when to look again at a record of a newer release
local MAX_RINGS = 100
local MAX_CHATS_OF_USER = 100

local arg = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function key(name) return KEYS[1] .. ':' .. name end
local function event_key(id) return key('event:' .. id) end
local function taken_key(token) return key('taken:' .. token) end

local DUE, CALLING, HELD, FAILED = key('due'), key('calling'), key('held'), key('failed')
local BELL, GATE, SETTLED = key('bell'), key('gate'), key('settled')

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

local function as_record(text)
  local record, place = {}, 0
  for line in string.gmatch(text .. '\n', '([^\n]*)\n') do
    place = place + 1
    local name = FIELDS[place]
    if not name then
      record[place], record.last_place = line, place
    elseif line ~= '' then
      record[name] = line
    end
  end
  return record
end

-- → the record, and its text
local function read(id)
  local text = redis.call('GET', event_key(id))
  if text then return as_record(text), text end
end

-- Something for WAIT to wait for, where a repeat has nothing to change: without a write of its own connection
-- it would confirm nothing.
local function write_again(id, text) redis.call('SET', event_key(id), text, 'KEEPTTL') end

-- A newer release may run beside this one; what it wrote is left alone.
local function is_readable(record)
  return record.v == VERSION and STATUSES[record.status] == true
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
