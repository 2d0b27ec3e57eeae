-- What every script shares; its text goes in front of each of them.
--
-- KEYS[1] is "{relay}", the hash tag that makes every key below one slot; ARGV[1] is one JSON object.
--
--   {relay}:event:<event_id>  hash: the record (fields below)
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
-- The record's fields: v, status, user, fingerprint, accepted, ttl (ms), attempt (the fence, only grows),
-- attempts (grants less those given back); and where they apply: on_unknown, metadata (JSON), traceparent
-- (of the request that brought it), token (of the grant), unknowns (attempts whose end nobody knows), consented (the automatic consent is used up),
-- orphan, since (when its deadline began anew), chat_id, chat (JSON), duplicates (chat ids joined by "/"),
-- failure (JSON), settled, history (JSON).

local VERSION = '1'
local STATUSES = {accepted = true, calling = true, opened = true, failed = true, unknown = true}
local MAX_CALL_MS = 305000      -- the longest CALL_DEADLINE_SECONDS, and 5 s
local MAX_DELAY_MS = 120000     -- the longest not_before and the longest pause
local RECHECK_MS = 5000         -- when to look again at a record of a newer release
local TOMBSTONE_MS = 400000     -- outlives every `take` that may still be under way
local MAX_RINGS = 100
local MAX_HISTORY = 64
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

local function as_table(flat)
  local fields = {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end

local function as_flat(fields)
  local flat = {}
  for name, value in pairs(fields) do
    flat[#flat + 1] = name
    flat[#flat + 1] = value
  end
  return flat
end

local function read(id)
  local flat = redis.call('HGETALL', event_key(id))
  return #flat > 0 and as_table(flat) or nil
end

-- A newer release may run beside this one; what it wrote is left alone.
local function is_readable(record)
  return record.v == VERSION and STATUSES[record.status] == true
end

-- Writes `changes` to the record, here and in Redis; `false` removes a field.
local function update(id, record, changes)
  local set, removed = {}, {}
  for name, value in pairs(changes) do
    if value == false then
      record[name] = nil
      removed[#removed + 1] = name
    else
      record[name] = tostring(value)
      set[#set + 1] = name
      set[#set + 1] = record[name]
    end
  end
  if #removed > 0 then redis.call('HDEL', event_key(id), unpack(removed)) end
  if #set > 0 then redis.call('HSET', event_key(id), unpack(set)) end
end

local REPEATABLE = {released = true, throttled = true, denied = true, not_sent = true}

-- The record's history with one entry more: of an operator's deed, `told` says who and what. Repeats of a
-- harmless kind are counted, not listed.
local function remember(record, what, told)
  local history = record.history and cjson.decode(record.history) or {}
  local last = history[#history]
  if last and last.what == what and REPEATABLE[what] then
    last.at, last.attempt, last.times = now, tonumber(record.attempt), (last.times or 1) + 1
  else
    told = told or {}
    history[#history + 1] = {at = now, what = what, attempt = tonumber(record.attempt),
      by = told.by, action = told.action, chat_id = told.chat_id}
  end
  if #history > MAX_HISTORY then table.remove(history, 1) end
  return cjson.encode(history)
end

local function ring()
  redis.call('LPUSH', BELL, 1)
  redis.call('LTRIM', BELL, 0, MAX_RINGS - 1)
end

-- The first write of every transition is a removal: when memory is full, Redis refuses a script's first
-- write unless it frees, and lets the later ones pass.
local function leave(id)
  redis.call('ZREM', DUE, id)
  redis.call('ZREM', CALLING, id)
  redis.call('ZREM', HELD, id)
  redis.call('ZREM', FAILED, id)
end

-- → accepted: may be called from the instant `at` on.
local function schedule(id, record, at, changes)
  leave(id)
  redis.call('ZADD', DUE, at, id)
  changes.status, changes.token, changes.failure = 'accepted', false, false
  update(id, record, changes)
  if at <= now then ring() end
end

-- → opened or failed: settled, and gone once the deduplication window is over.
local function finish(id, record, status, changes)
  leave(id)
  changes.status, changes.settled, changes.token = status, now, false
  update(id, record, changes)
  redis.call('PEXPIRE', event_key(id), record.ttl)
  redis.call('PUBLISH', SETTLED, id)
end

-- A failed event's record ends by itself; its entry goes here, oldest first.
local MAX_FORGOTTEN = 1000

local function forget_ended()
  for _, id in ipairs(redis.call('ZRANGE', FAILED, 0, MAX_FORGOTTEN - 1)) do
    if redis.call('EXISTS', event_key(id)) == 1 then return end
    redis.call('ZREM', FAILED, id)
  end
end

local function fail(id, record, failure, changes)
  changes.failure = failure
  finish(id, record, 'failed', changes)
  redis.call('ZADD', FAILED, now, id)
  forget_ended()
end

-- → opened. `changes` has chat_id and chat. I5: only a record without a chat may come here.
local function open(id, record, changes)
  changes.failure = false
  finish(id, record, 'opened', changes)
  redis.call('SET', key('chat:' .. record.chat_id), id, 'NX', 'PX', record.ttl)
  local user = key('user:' .. record.user)
  redis.call('ZADD', user, now, id)
  redis.call('ZREMRANGEBYRANK', user, 0, -MAX_CHATS_OF_USER - 1)
  if redis.call('PTTL', user) < tonumber(record.ttl) then redis.call('PEXPIRE', user, record.ttl) end
end

-- The attempt ended and nobody knows whether it created a chat. I3: from here to another call only by
-- consent; the configuration or the event itself consents once, and held is where it stays after that.
local function end_unknown(id, record, what, failure)
  local changes = {unknowns = (record.unknowns or 0) + 1, history = remember(record, what)}
  if (record.on_unknown or arg.on_unknown) == 'recreate' and not record.consented then
    changes.consented = 1
    return schedule(id, record, now + arg.recreate_delay_ms, changes)
  end
  leave(id)
  redis.call('ZADD', HELD, now, id)
  changes.status, changes.failure = 'unknown', failure
  update(id, record, changes)
  redis.call('PUBLISH', SETTLED, id)
end

-- What remains of the attempts nobody knows about, now that this one is known to have done nothing.
local function unknowns_without(record)
  if record.status ~= 'unknown' then return record.unknowns or false end
  local left = tonumber(record.unknowns) - 1
  return left > 0 and left or false
end

-- A repeat of an operator's command, after a lost reply, finds under the command's token that it was done.
local function note_told(id)
  redis.call('SET', taken_key(arg.token), id, 'PX', TOMBSTONE_MS)
end

local function is_told_again(id)
  if redis.call('GET', taken_key(arg.token)) ~= id then return false end
  redis.call('HSET', event_key(id), 'v', VERSION)   -- something for WAIT to wait for
  return true
end

-- The gate: fields `tat` (GCRA's theoretical arrival time), `pause_until`; after a 429 `slow_rate` (what the
-- rate fell to) and `slow_until`; the breaker's `state` (absent: closed, open, half_open), `failures` in a row,
-- `reason`, `open_until`, `cooldown_ms`, and the half-open trial's `trial` (token) and `trial_until`;
-- `url:<hash>` for each base URL that a probe found good; `probe:<scope>` and `probe_until:<scope>`, the lease
-- of whoever probes the breaker or a base URL.
local MAX_COOLDOWN_MS = 60000
local SLOW_MS = 60000

-- The calls a second to keep to: what a 429 left of the configured rate, growing back to it over a minute.
local function rate_of(gate)
  local left = (instant(gate.slow_until, SLOW_MS) - now) / SLOW_MS
  if left <= 0 then return arg.rate_per_second end
  local lowest = math.min(gate.slow_rate, arg.rate_per_second)
  return arg.rate_per_second - (arg.rate_per_second - lowest) * left
end

local function shut(gate, reason)
  local longest = math.max(MAX_COOLDOWN_MS, arg.cooldown_ms)
  local cooldown = gate.cooldown_ms and math.min(gate.cooldown_ms * 2, longest) or arg.cooldown_ms
  redis.call('HDEL', GATE, 'trial', 'trial_until', 'failures', 'probe:breaker', 'probe_until:breaker')
  redis.call('HSET', GATE, 'state', 'open', 'reason', reason, 'cooldown_ms', cooldown,
    'open_until', math.floor(now + cooldown * (1 + 0.2 * arg.random)))
  return 'open'
end

local function close(gate)
  redis.call('HDEL', GATE, 'state', 'reason', 'cooldown_ms', 'open_until', 'failures')
  return gate.state and 'closed' or ''
end

-- What an outcome tells the breaker: 'success', 'failure', 'trip' or 'neutral'. While it is not closed only
-- the trial's outcome counts, so that calls from before it opened can neither close it nor keep it open.
-- → 'open' or 'closed' where that is what the breaker changed to, else ''
local function feed_back(token, effect, reason)
  local gate = as_table(redis.call('HGETALL', GATE))
  local is_trial = gate.trial == token
  if is_trial then redis.call('HDEL', GATE, 'trial', 'trial_until') end
  if gate.state and not is_trial or effect == 'neutral' then return '' end
  if effect == 'success' then return close(gate) end
  if gate.state or effect == 'trip' or redis.call('HINCRBY', GATE, 'failures', 1) >= arg.threshold then
    return shut(gate, reason)
  end
  return ''
end
