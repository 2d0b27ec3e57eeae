-- Settles the outcome of a grant's call. The same settle twice is one settle.
--
-- arg: event_id, attempt, token, kind, stored_fields (the record as granted), way, on_unknown, recreate_delay_ms,
--      threshold, cooldown_ms, random (0..1), rate_per_second, burst, confirm; by kind:
--      created: chat (fields of the record); refused, denied, unknown: failure; throttled, not_sent: delay_ms;
--      denied, not_sent, unknown: reason
-- → {'opened' | 'duplicate' | 'failed' | 'accepted' | 'unknown' | 'ignored' | 'newer' | 'stale' (another life's),
--    'open' | 'closed' | '' (what the breaker changed to), ms since the event was accepted}

-- include relay
-- include transitions
-- include gate

local id, attempt = arg.event_id, arg.attempt
local life = arg.stored_fields.accepted_ms

begin_writing()
local gate = read_gate()
local record, _, forgotten = read(id)

-- An id is free again after its window, so a late answer may belong to an earlier life. Two instants within one
-- window, with one fingerprint, are one life whose writes Redis lost.
local function is_stale()
  if forgotten == life then return true end
  if record and record.accepted_ms == life then return false end
  -- It was over when the forgotten one began, or is that one, and Redis lost its acceptance.
  if forgotten and life < forgotten then return true end
  -- The life's window is over: of a repeat from a spool only a chat is put back, and nothing to be called.
  if not record then return arg.kind ~= 'created' and now - life >= arg.stored_fields.ttl_ms end
  local is_apart = math.abs(record.accepted_ms - life) >= record.ttl_ms
  return is_apart or record.fingerprint ~= arg.stored_fields.fingerprint
end

-- Redis lost writes, the grant's among them: the worker's copy counts, and every kind of outcome then writes it.
-- Where Redis still has an older record, proof changes nothing in it: another worker may be calling by now.
local function is_lost()
  if not record then return true end
  local is_behind = record.attempt < attempt and record.status ~= 'opened'
  return is_behind and (arg.kind == 'created' or arg.kind == 'unknown')
end

-- Proof that this attempt executed nothing counts only while the record stands at this very grant: the token is
-- there while it is `calling` or `unknown`. The number would not do, since after lost writes another worker may
-- be calling under the same one.
local function holds_grant() return record.grant_token == arg.token end

local function feed(effect) return feed_back(gate, arg.token, effect, arg.reason) end

local function ignore()
  local breaker = feed('neutral')
  leave_other_sets(id, record.status)
  notify(id, record.status, now)
  return 'ignored', breaker
end

-- I5: on an opened record another chat is evidence; the published id never changes.
local function append_duplicate()
  local found, duplicates = arg.chat.chat_id, record.duplicate_chat_ids or {}
  if found == record.chat_id then return ignore() end
  for _, known in ipairs(duplicates) do
    if found == known then return ignore() end
  end
  local breaker = feed('neutral')
  duplicates[#duplicates + 1] = found
  local history = append_history(record, 'duplicate_chat')
  update(id, record, {duplicate_chat_ids = duplicates, history = history}, 'KEEPTTL')
  leave_other_sets(id, record.status)
  return 'duplicate', breaker
end

local function settle_created()
  if record.status == 'opened' then return append_duplicate() end
  local breaker = feed('success')
  local is_late = record.status ~= 'calling' or record.attempt ~= attempt
  if is_late then arg.chat.history = append_history(record, 'opened_late') end
  open(id, record, arg.chat)
  return 'opened', breaker
end

local function settle_refused()
  if not holds_grant() then return ignore() end
  local breaker = feed('success')
  local history = append_history(record, arg.failure.code)
  fail(id, record, arg.failure, {unknowns = unknowns_without(record), history = history})
  return 'failed', breaker
end

local function reschedule(delay_ms, denied)
  schedule(id, record, now + math.min(delay_ms, MAX_DELAY_MS), {
    unknowns = unknowns_without(record), history = append_history(record, arg.kind), denied = denied,
  })
  return 'accepted'
end

local function settle_not_sent()
  if not holds_grant() then return ignore() end
  local breaker = feed('failure')
  return reschedule(arg.delay_ms, record.denied), breaker
end

-- Calls that were under way at a 429 may meet one too: theirs adds nothing about the limit.
local SLOWEST_PER_SECOND, SETTLING_MS = 0.1, 1000

local function slow_down()
  local slowed_at = clamped_instant(gate.slow_until, SLOW_MS) - SLOW_MS
  if now < math.max(clamped_instant(gate.pause_until, MAX_DELAY_MS), slowed_at + SETTLING_MS) then return end
  redis.call('HSET', GATE, 'slow_until', now + SLOW_MS,
    'slow_rate', string.format('%.3f', math.max(rate_of(gate) / 2, SLOWEST_PER_SECOND)))
end

-- The pause only grows. The bucket is emptied up to its end, so that what follows is no second burst.
local function settle_throttled()
  if not holds_grant() then return ignore() end
  slow_down()
  local pause_until = now + math.min(arg.delay_ms, MAX_DELAY_MS)
  pause_until = math.max(pause_until, clamped_instant(gate.pause_until, MAX_DELAY_MS))
  local empty_ms = (arg.burst - 1) * 1000 / arg.rate_per_second
  local tat = math.max(pause_until + empty_ms, clamped_instant(gate.tat, MAX_DELAY_MS + empty_ms))
  redis.call('HSET', GATE, 'pause_until', pause_until, 'tat', string.format('%.3f', tat))
  local breaker = feed('neutral')
  return reschedule(arg.delay_ms, record.denied), breaker
end

-- A denial is the event's own, and not the way's, if another event succeeded on this way since its last one. The
-- second own one fails the event.
local MAX_OWN_DENIALS = 2

local function settle_denied()
  if not holds_grant() then return ignore() end
  local before = record.denied or {}
  local successes = tonumber(gate['successes:' .. arg.way] or 0)
  local is_own = before.way == arg.way and successes > before.successes
  local breaker = feed(is_own and 'neutral' or 'denial')
  local own = (before.own or 0) + (is_own and 1 or 0)
  if own >= MAX_OWN_DENIALS then
    local history = append_history(record, 'denied')
    fail(id, record, arg.failure, {unknowns = unknowns_without(record), history = history})
    return 'failed', breaker
  end
  local times = (before.times or 0) + 1
  local denied = {way = arg.way, successes = successes, own = own, times = times, since_ms = before.since_ms or now}
  return reschedule(arg.cooldown_ms * 2 ^ (math.min(times, 20) - 1), denied), breaker
end

local function settle_unknown()
  if record.attempt ~= attempt or record.status ~= 'calling' then return ignore() end
  local breaker = feed('failure')
  record.grant_token = arg.token   -- no other grant's proof may take this doubt away
  end_unknown(id, record, arg.reason, arg.failure)
  return record.status, breaker
end

local SETTLE = {created = settle_created, refused = settle_refused, throttled = settle_throttled,
  denied = settle_denied, not_sent = settle_not_sent, unknown = settle_unknown}

if record and not is_readable(record) then return {'newer', '', 0} end
local result, breaker = 'stale', nil
if is_stale() then
  breaker = feed('neutral')
  redis.call('HINCRBY', GATE, 'stale_answers', 1)
else
  if is_lost() then record = arg.stored_fields end
  result, breaker = SETTLE[arg.kind]()
end
redis.call('SET', taken_key(arg.token), '', 'PX', TOMBSTONE_MS)   -- a `take` that is still under way gets nothing
return {result, breaker, record and math.max(0, now - record.accepted_ms) or 0}
