-- Settles the outcome of a grant's call. The same settle twice is one settle.
--
-- arg: event_id, attempt, token, kind, stored_fields (the record as granted), way, on_unknown, recreate_delay_ms,
--      threshold, cooldown_ms, random (0..1), rate_per_second, burst, confirm; task (none: the create), requests (how
--      many were sent, if several), has_acted (true: what was answered is the task's write); by kind:
--      created: chat (fields of the record); resolved: user_id; done: message_id, if it has one;
--      refused, denied, unknown: failure; refused (of a task), throttled, not_sent, look_failed: delay_ms;
--      denied, not_sent, unknown, and look_failed unless each read was answered: reason
-- → {'opened' | 'duplicate' | 'failed' | 'accepted' | 'unknown' | 'resolved' | 'task_done' | 'task_failed' |
--    'task_waiting' | 'ignored' | 'newer' | 'stale' (another life's),
--    'open' | 'closed' | '' (what the breaker changed to), ms since the event was accepted}

-- include relay
-- include transitions
-- include tasks
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
-- Where Redis still has an older record, proof changes nothing in it: another worker may be calling by now. But a
-- copy with a chat has the published one.
local function is_lost()
  if not record then return true end
  if arg.task then return arg.stored_fields.chat_id ~= nil and not record.chat_id end
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
  tidy_up(id, record)
  notify(id, record, now)
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
  local history = append_history(record, 'duplicate_chat', {})
  update(id, record, {duplicate_chat_ids = duplicates, history = history}, 'KEEPTTL')
  tidy_up(id, record)
  return 'duplicate', breaker
end

local function settle_created()
  if record.status == 'opened' then return append_duplicate() end
  local breaker = feed('success')
  local is_late = record.status ~= 'calling' or record.attempt ~= attempt
  if is_late then arg.chat.history = append_history(record, 'opened_late', {}) end
  arg.chat.user_id = arg.stored_fields.user_id   -- of the call that made the chat: members may be merged
  open(id, record, arg.chat)
  return 'opened', breaker
end

-- The user id that another event's resolve found is not Channel.io's any more: it is resolved once more.
local function has_outdated_user()
  if arg.failure.code ~= 'user_not_found' or not record.member_id then return false end
  local kept = key('member:' .. record.member_id)
  if redis.call('GET', kept) == record.user_id then redis.call('DEL', kept) end
  return record.is_mapped and not record.is_resolved_again
end

local function settle_refused()
  if not holds_grant() then return ignore() end
  local breaker = feed(arg.task and 'neutral' or 'success')
  local history = append_history(record, arg.failure.code)
  local changes = {unknowns = unknowns_without(record), history = history}
  if not arg.task and has_outdated_user() then
    changes.user_id, changes.is_mapped, changes.is_resolved_again = false, false, true
    go_on(id, record, changes)
    return 'accepted', breaker
  end
  fail(id, record, arg.failure, changes)
  return 'failed', breaker
end

local function reschedule(delay_ms, denied)
  schedule(id, record, now + math.min(delay_ms, MAX_DELAY_MS), {
    unknowns = unknowns_without(record), history = append_history(record, arg.kind), denied = denied,
  })
  return record.chat_id and 'task_waiting' or 'accepted'
end

local function settle_not_sent()
  if not holds_grant() then return ignore() end
  local breaker = feed(arg.reason and 'failure' or 'neutral')
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
  if own >= MAX_OWN_DENIALS and record.chat_id then
    fail_task(id, record, arg.failure, 'denied', {})
    return 'task_failed', breaker
  end
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

-- The user id is kept for other events of the member.
local MAPPING_MS = 600000

local function settle_resolved()
  if not holds_grant() then return ignore() end
  local breaker = feed('neutral')
  redis.call('SET', key('member:' .. record.member_id), arg.user_id, 'PX', MAPPING_MS)
  local history = append_history(record, 'resolved_user')
  go_on(id, record, {user_id = arg.user_id, is_mapped = false, history = history})
  return 'resolved', breaker
end

-- Counts under any token where the grant's chat is the published one. What was skipped stays skipped.
local function settle_done()
  local task = record.tasks and record.tasks[arg.task]
  local is_published = record.chat_id ~= nil and record.chat_id == arg.stored_fields.chat_id
  if not task or not is_published or task.status == 'done' or task.status == 'skipped' then return ignore() end
  local breaker = feed(arg.has_acted and 'success' or 'neutral')
  -- A late answer is to a send that was counted when its grant ended.
  if arg.has_acted and holds_grant() then task.attempts = (task.attempts or 0) + 1 end
  task.status, task.id = 'done', arg.message_id
  task.failure, task.refusal, task.look_only = nil, nil, nil
  go_on(id, record, {history = append_history(record, 'done', {task = arg.task})})
  return 'task_done', breaker
end

-- A look that reached the end and found nothing, where no send is permitted.
local function settle_not_found()
  local breaker = feed('neutral')
  fail_task(id, record, NO_ANSWER, 'failed', {})
  return 'task_failed', breaker
end

local YOUNG_CHAT_MS = 60000   -- Channel.io may not know it everywhere yet

local function settle_task_refused(task)
  local breaker = feed(arg.has_acted and 'success' or 'neutral')
  if arg.has_acted then task.attempts = (task.attempts or 0) + 1 end
  if arg.failure.code == 'chat_not_found' and now - record.settled_ms < YOUNG_CHAT_MS then
    return reschedule(arg.delay_ms, record.denied), breaker
  end
  -- Refused perhaps since an earlier send has done it, or a person has: one more look decides.
  if arg.has_acted and (arg.task == 'open' or task.unanswered) then
    task.refusal = arg.failure
    return reschedule(arg.delay_ms, record.denied), breaker
  end
  fail_task(id, record, arg.failure, 'failed', {})
  return 'task_failed', breaker
end

local function settle_unanswered()
  local breaker = feed('failure')
  leave_unanswered(id, record, arg.reason)
  return 'task_waiting', breaker
end

local SETTLE = {created = settle_created, refused = settle_refused, throttled = settle_throttled,
  denied = settle_denied, not_sent = settle_not_sent, look_failed = settle_not_sent, unknown = settle_unknown,
  resolved = settle_resolved, done = settle_done}
local SETTLE_TASK = {refused = settle_task_refused, unknown = settle_unanswered, not_found = settle_not_found}

local function settle()
  local settle_task = SETTLE_TASK[arg.kind]
  if not record.chat_id or not arg.task or not settle_task then return SETTLE[arg.kind]() end
  -- Under another token nothing counts: a later grant, or an operator, has decided since.
  if not holds_grant() then return ignore() end
  return settle_task(record.tasks[arg.task])
end

-- `take` took a token of the bucket for the first request. The tombstone shows that this settle is a repeat.
local function charge_requests()
  if not arg.requests or not arg.rate_per_second then return end
  if redis.call('GET', taken_key(arg.token)) == '' then return end
  local full_ms = arg.burst * 1000 / arg.rate_per_second
  local tat = math.max(now, clamped_instant(gate.tat, MAX_DELAY_MS + full_ms))
  gate.tat = string.format('%.3f', tat + (arg.requests - 1) * 1000 / rate_of(gate))
  redis.call('HSET', GATE, 'tat', gate.tat)
end

if record and not is_readable(record) then return {'newer', '', 0} end
local result, breaker = 'stale', nil
charge_requests()
if is_stale() then
  breaker = feed('neutral')
  redis.call('HINCRBY', GATE, 'stale_answers', 1)
else
  if is_lost() then record = arg.stored_fields end
  result, breaker = settle()
end
redis.call('SET', taken_key(arg.token), '', 'PX', TOMBSTONE_MS)   -- a `take` that is still under way gets nothing
return {result, breaker, record and math.max(0, now - record.accepted_ms) or 0}
