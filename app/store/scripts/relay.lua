-- What every script includes: where everything is, and how a record is read.
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
local MAX_CHATS_OF_USER = 100

local arg = cjson.decode(ARGV[1])

local function key(name) return KEYS[1] .. ':' .. name end
local function event_key(id) return key('event:' .. id) end

local DUE, CALLING, HELD, FAILED = key('due'), key('calling'), key('held'), key('failed')
local BELL, GATE, SETTLED = key('bell'), key('gate'), key('settled')

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
