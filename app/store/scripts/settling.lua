-- Settles what a call came to. The same settle twice is one settle.
--
-- arg: event_id, attempt, token, kind, copy (the record as granted), on_unknown, recreate_delay_ms, threshold,
--      cooldown_ms, random (0..1), rate_per_second, burst; by kind:
--      created: chat_id, chat (JSON); refused, unknown: failure (JSON); throttled, denied, not_sent: delay_ms;
--      denied, not_sent, unknown: reason
-- → {'opened' | 'duplicate' | 'failed' | 'accepted' | 'unknown' | 'ignored' | 'newer',
--    'open' | 'closed' | '' (what the breaker changed to), ms since the event was accepted}

local id, attempt = arg.event_id, arg.attempt

-- A removal first (see `leave`), and then the tombstone: a `take` that is still under way gets nothing.
local function bury_token()
  redis.call('DEL', taken_key(arg.token))
  redis.call('SET', taken_key(arg.token), '', 'PX', TOMBSTONE_MS)
end

-- Redis lost writes, the grant's among them: it is put back as the worker holds it.
local function restore()
  local restored = {}
  redis.call('DEL', event_key(id))
  update(id, restored, arg.copy)
  return restored
end

local function append_duplicate(record)
  local known = '/' .. record.chat_id .. '/' .. (record.duplicates or '') .. '/'
  if string.find(known, '/' .. arg.chat_id .. '/', 1, true) then return 'ignored' end
  local duplicates = record.duplicates and record.duplicates .. '/' .. arg.chat_id or arg.chat_id
  update(id, record, {duplicates = duplicates, history = remember(record, 'duplicate_chat')})
  return 'duplicate'
end

-- I5: on an opened record another chat is evidence; the published id never changes.
local function created(record)
  if record.status == 'opened' then return append_duplicate(record) end
  local changes = {chat_id = arg.chat_id, chat = arg.chat}
  local is_late = record.status ~= 'calling' or tonumber(record.attempt) ~= attempt
  if is_late then changes.history = remember(record, 'opened_late') end
  open(id, record, changes)
  return 'opened'
end

-- Proof that this attempt executed nothing counts only while the record stands at this very grant: the
-- token is there while it is `calling` or `unknown`. The number would not do, since after lost writes
-- another worker may be calling under the same one.
local function stands_at_grant(record) return record.token == arg.token end

local function back(record)
  if not stands_at_grant(record) then return 'ignored' end
  local changes = {unknowns = unknowns_without(record), history = remember(record, arg.kind)}
  schedule(id, record, now + math.min(arg.delay_ms, MAX_DELAY_MS), changes)
  return 'accepted'
end

-- Calls that were under way at a 429 may meet one too, and tell nothing more of the limit.
local SLOWEST_PER_SECOND, SETTLING_MS = 0.1, 1000

local function slow_down(gate)
  local slowed_at = instant(gate.slow_until, SLOW_MS) - SLOW_MS
  if now < math.max(instant(gate.pause_until, MAX_DELAY_MS), slowed_at + SETTLING_MS) then return end
  redis.call('HSET', GATE, 'slow_until', now + SLOW_MS,
    'slow_rate', string.format('%.3f', math.max(rate_of(gate) / 2, SLOWEST_PER_SECOND)))
end

-- The pause only grows. The bucket is emptied up to its end, so that what follows is no second burst.
local function throttled(record)
  if not stands_at_grant(record) then return 'ignored' end
  local gate = as_table(redis.call('HGETALL', GATE))
  slow_down(gate)
  local pause_until = now + math.min(arg.delay_ms, MAX_DELAY_MS)
  pause_until = math.max(pause_until, instant(gate.pause_until, MAX_DELAY_MS))
  local empty_ms = (arg.burst - 1) * 1000 / arg.rate_per_second
  local tat = math.max(pause_until + empty_ms, instant(gate.tat, MAX_DELAY_MS + empty_ms))
  redis.call('HSET', GATE, 'pause_until', pause_until, 'tat', string.format('%.3f', tat))
  return back(record)
end

local function refused(record)
  if not stands_at_grant(record) then return 'ignored' end
  local code = cjson.decode(arg.failure)[1]
  fail(id, record, arg.failure, {unknowns = unknowns_without(record), history = remember(record, code)})
  return 'failed'
end

local function unknown(record)
  if tonumber(record.attempt) ~= attempt or record.status ~= 'calling' then return 'ignored' end
  update(id, record, {token = arg.token})   -- whose doubt it is: nobody else's proof takes it away
  end_unknown(id, record, arg.reason, arg.failure)
  return record.status
end

local SETTLE = {created = created, refused = refused, throttled = throttled, denied = back, not_sent = back,
  unknown = unknown}
local EFFECT = {created = 'success', refused = 'success', throttled = 'neutral', denied = 'trip',
  not_sent = 'failure', unknown = 'failure'}

-- Redis lost writes. Where it still has an older record, proof changes nothing in it: it may be called, or
-- is being called, for all that this grant tells.
local function is_lost(record)
  if not record then return true end
  local is_behind = tonumber(record.attempt) < attempt and record.status ~= 'opened'
  return is_behind and (arg.kind == 'created' or arg.kind == 'unknown')
end

local function settle()
  bury_token()
  local record = read(id)
  if record and not is_readable(record) then return {'newer', '', 0} end
  if is_lost(record) then record = restore() end
  local result = SETTLE[arg.kind](record)
  local is_transition = result ~= 'ignored' and result ~= 'duplicate'
  local breaker = feed_back(arg.token, is_transition and EFFECT[arg.kind] or 'neutral', arg.reason)
  return {result, breaker, math.max(0, now - tonumber(record.accepted))}
end
