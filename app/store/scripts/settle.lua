-- Settles the outcome of a grant's call. The same settle twice is one settle.
--
-- arg: event_id, attempt, token, kind, stored_fields (the record as granted), on_unknown, recreate_delay_ms,
--      threshold, cooldown_ms, random (0..1), rate_per_second, burst; by kind:
--      created: chat (fields of the record); refused, unknown: failure; throttled, denied, not_sent: delay_ms;
--      denied, not_sent, unknown: reason
-- → {'opened' | 'duplicate' | 'failed' | 'accepted' | 'unknown' | 'ignored' | 'newer',
--    'open' | 'closed' | '' (what the breaker changed to), ms since the event was accepted}

-- include relay
-- include transitions
-- include gate

local id, attempt = arg.event_id, arg.attempt

-- A removal first (see `dequeue`), and then the tombstone: a `take` that is still under way gets nothing.
local function leave_tombstone()
  redis.call('DEL', taken_key(arg.token))
  redis.call('SET', taken_key(arg.token), '', 'PX', TOMBSTONE_MS)
end

local function append_duplicate(record)
  local found, duplicates = arg.chat.chat_id, record.duplicate_chat_ids or {}
  if found == record.chat_id then return 'ignored' end
  for _, known in ipairs(duplicates) do
    if found == known then return 'ignored' end
  end
  duplicates[#duplicates + 1] = found
  local history = append_history(record, 'duplicate_chat')
  update(id, record, {duplicate_chat_ids = duplicates, history = history}, 'KEEPTTL')
  return 'duplicate'
end

-- I5: on an opened record another chat is evidence; the published id never changes.
local function settle_created(record)
  if record.status == 'opened' then return append_duplicate(record) end
  local changes = arg.chat
  local is_late = record.status ~= 'calling' or record.attempt ~= attempt
  if is_late then changes.history = append_history(record, 'opened_late') end
  open(id, record, changes)
  return 'opened'
end

-- Proof that this attempt executed nothing counts only while the record stands at this very grant: the token is
-- there while it is `calling` or `unknown`. The number would not do, since after lost writes another worker may
-- be calling under the same one.
local function holds_grant(record)
  return record.grant_token == arg.token
end

local function reschedule(record)
  if not holds_grant(record) then return 'ignored' end
  local changes = {unknowns = unknowns_without(record), history = append_history(record, arg.kind)}
  schedule(id, record, now + math.min(arg.delay_ms, MAX_DELAY_MS), changes)
  return 'accepted'
end

-- Calls that were under way at a 429 may meet one too: theirs says nothing more of the limit.
local SLOWEST_PER_SECOND, SETTLING_MS = 0.1, 1000

local function slow_down(gate)
  local slowed_at = clamped_instant(gate.slow_until, SLOW_MS) - SLOW_MS
  if now < math.max(clamped_instant(gate.pause_until, MAX_DELAY_MS), slowed_at + SETTLING_MS) then return end
  redis.call('HSET', GATE, 'slow_until', now + SLOW_MS,
    'slow_rate', string.format('%.3f', math.max(rate_of(gate) / 2, SLOWEST_PER_SECOND)))
end

-- The pause only grows. The bucket is emptied up to its end, so that what follows is no second burst.
local function settle_throttled(record)
  if not holds_grant(record) then return 'ignored' end
  local gate = as_table(redis.call('HGETALL', GATE))
  slow_down(gate)
  local pause_until = now + math.min(arg.delay_ms, MAX_DELAY_MS)
  pause_until = math.max(pause_until, clamped_instant(gate.pause_until, MAX_DELAY_MS))
  local empty_ms = (arg.burst - 1) * 1000 / arg.rate_per_second
  local tat = math.max(pause_until + empty_ms, clamped_instant(gate.tat, MAX_DELAY_MS + empty_ms))
  redis.call('HSET', GATE, 'pause_until', pause_until, 'tat', string.format('%.3f', tat))
  return reschedule(record)
end

local function settle_refused(record)
  if not holds_grant(record) then return 'ignored' end
  local history = append_history(record, arg.failure.code)
  fail(id, record, arg.failure, {unknowns = unknowns_without(record), history = history})
  return 'failed'
end

local function settle_unknown(record)
  if record.attempt ~= attempt or record.status ~= 'calling' then return 'ignored' end
  record.grant_token = arg.token   -- no other grant's proof may take this doubt away
  end_unknown(id, record, arg.reason, arg.failure)
  return record.status
end

local SETTLE = {created = settle_created, refused = settle_refused, throttled = settle_throttled,
  denied = reschedule, not_sent = reschedule, unknown = settle_unknown}
local EFFECT = {created = 'success', refused = 'success', throttled = 'neutral', denied = 'trip',
  not_sent = 'failure', unknown = 'failure'}

-- Redis lost writes, the grant's among them: the worker's copy counts, and every kind of outcome then writes it.
-- Where Redis still has an older record, proof changes nothing in it: another worker may be calling by now.
local function is_lost(record)
  if not record then return true end
  local is_behind = record.attempt < attempt and record.status ~= 'opened'
  return is_behind and (arg.kind == 'created' or arg.kind == 'unknown')
end

leave_tombstone()
local record = read(id)
if record and not is_readable(record) then return {'newer', '', 0} end
if is_lost(record) then record = arg.stored_fields end
local result = SETTLE[arg.kind](record)
local is_transition = result ~= 'ignored' and result ~= 'duplicate'
local breaker = feed_back(arg.token, is_transition and EFFECT[arg.kind] or 'neutral', arg.reason)
return {result, breaker, math.max(0, now - record.accepted_ms)}
