-- Grants the next call, or returns the reason for none.
--
-- arg: token, may_grant (a worker without a free slot takes all the same, so that lost workers and expired events
--      are found: it gets neither grant nor probe), worker (the process), way, lease_ms, event_deadline_ms,
--      on_unknown, recreate_delay_ms, rate_per_second, burst, cooldown_ms, expired, lost (failures),
--      min_replicas_acked, confirm
-- → {lost event ids, expired event ids, 'grant', event id, record}: of a create
--   {lost event ids, expired event ids, 'grant', event id, record, 'resolve' | 'open'}
--   {lost event ids, expired event ids, 'grant', event id, record, 'message', its text}
--   {lost event ids, expired event ids, 'probe'}
--   {lost event ids, expired event ids, 'idle' (nothing is due) | 'blocked', ms to wait}

-- include relay
-- include transitions
-- include tasks
-- include gate

local MAX_STEPS = 50
local MAX_WAIT_MS = 1000   -- of a sleep: an overdue call is looked for at least this often
local POLL_MS = 200        -- of a worker that waits for another worker's probe or trial
local TAKEN_MARGIN_MS = 60000
local LEASE_MARGIN_MS = 5000   -- of lease_ms, behind the call's deadline
local LOOK_DELAY_DEADLINES = 3   -- a message that was sent late is in the chat's list by then
local TEXT_LOST = {code = 'text_lost', detail = 'Redis lost the text of the message.'}
local lost, expired = {}, {}

local function reply(...) return {lost, expired, ...} end

local function no_work(why, ms)
  return reply(why, math.ceil(math.max(0, math.min(ms, MAX_WAIT_MS))))
end

-- A repeat of a `take` whose reply was lost: the same grant, or nothing if it is over. One that was stopped before
-- it wrote the record granted nothing, and goes on as new.
local function repeat_grant()
  local taken = redis.call('GET', taken_key(arg.token))
  if not taken then return nil end
  local attempt, id = parse_taken(taken)
  local record, text
  if id then record, text = read(id) end
  if record and is_readable(record) and attempt > record.attempt then return nil end
  begin_writing()
  if not record or record.grant_token ~= arg.token or set_of(record) ~= CALLING then
    return no_work('blocked', 0)
  end
  local message_text = record.task == 'message' and redis.call('GET', text_key(id)) or nil
  if record.task == 'message' and not message_text then
    fail_task(id, record, TEXT_LOST, 'text_lost', {})   -- no worker has the grant: nothing was sent under it
    return no_work('blocked', 0)
  end
  tidy_up(id, record)
  return reply('grant', id, text, record.task, message_text)
end

-- Redis' clock went back: the gate's instants go back with it, and what was due by the newest instant that the
-- clock had shown is due now, in its order, MAX_STEPS a step.
local MAX_BACK_MS = 1000
local INSTANTS = {tat = true, pause_until = true, slow_until = true, open_until = true, trial_until = true}

local function follow_clock(gate)
  local newest = tonumber(gate.newest or 0)
  local changes = {newest = now}
  if newest > now + MAX_BACK_MS then
    for name, value in pairs(gate) do
      if INSTANTS[name] or string.find(name, '^probe_until:') then changes[name] = value - (newest - now) end
    end
    changes.late_until, changes.late_by = newest, newest - now
  end
  local flat = {}
  for name, value in pairs(changes) do
    gate[name] = value
    flat[#flat + 1], flat[#flat + 2] = name, value
  end
  redis.call('HSET', GATE, unpack(flat))
  if not gate.late_until then return end
  local late = redis.call('ZRANGEBYSCORE', DUE, '(' .. now, gate.late_until, 'WITHSCORES', 'LIMIT', 0, MAX_STEPS)
  for i = 1, #late, 2 do redis.call('ZADD', DUE, math.min(now, late[i + 1] - gate.late_by), late[i]) end
  if #late < 2 * MAX_STEPS then
    redis.call('HDEL', GATE, 'late_until', 'late_by')
    gate.late_until = nil
  end
end

-- Instants that no clock of ours can have meant. I6: but another worker's deadline may be longer than this one's,
-- and with it the wait for what it may have sent.
local function clamp(queue, max_ahead_ms)
  local latest = now + max_ahead_ms
  local ahead = redis.call('ZRANGEBYSCORE', queue, '(' .. latest, '+inf', 'WITHSCORES', 'LIMIT', 0, MAX_STEPS)
  for i = 1, #ahead, 2 do
    local record = queue == DUE and read(ahead[i]) or {}
    local look_from = clamped_instant(record.look_from_ms, MAX_LOOK_DELAY_MS)
    local at = math.max(latest, look_from)
    if at < tonumber(ahead[i + 1]) then redis.call('ZADD', queue, at, ahead[i]) end
  end
end

-- The event belongs in `queue` no longer, or its record is another release's to judge.
local function pass_over(queue, id, record)
  if record and not is_readable(record) then
    redis.call('ZADD', UNREADABLE, now, id)
    redis.call('ZADD', queue, now + RECHECK_MS, id)
  elseif record then
    tidy_up(id, record)
  else
    redis.call('DEL', text_key(id))
    redis.call('ZREM', queue, id)
  end
end

-- Nothing but a create can have made a chat: a resolve is repeated, and other tasks look first.
local function lose_task(id, record)
  if record.task == 'resolve' or task_with(record, 'pending').look_only then
    schedule(id, record, now + arg.recreate_delay_ms, {history = append_history(record, 'worker_lost')})
  else
    leave_unanswered(id, record, 'worker_lost')
  end
end

-- Calls that should be over by now are those of lost workers.
local function end_lost_calls(gate)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', CALLING, '-inf', now, 'LIMIT', 0, MAX_STEPS)) do
    local record = read(id)
    if record and is_readable(record) and set_of(record) == CALLING then
      feed_back(gate, record.grant_token, 'neutral')
      if gate.trial == record.grant_token then gate.trial, gate.trial_until = nil, nil end
      if record.task then lose_task(id, record) else end_unknown(id, record, 'worker_lost', arg.lost) end
      lost[#lost + 1] = id
    else
      pass_over(CALLING, id, record)
    end
  end
end

local function is_expired(record)
  return now - (record.deadline_from_ms or record.accepted_ms) > arg.event_deadline_ms
end

local function expire(id, record)
  if record.chat_id then
    fail_task(id, record, arg.expired, 'expired', {})
  else
    fail(id, record, arg.expired, {history = append_history(record, 'expired')})
  end
  expired[#expired + 1] = id
end

-- The first event that may be called, past what is cleaned up on the way, its record and, for a message, its text;
-- nil if there is none.
local function find_due()
  for _ = 1, MAX_STEPS do
    local id = redis.call('ZRANGEBYSCORE', DUE, '-inf', now, 'LIMIT', 0, 1)[1]
    if not id then return nil end
    local record = read(id)
    if not record or not is_readable(record) or set_of(record) ~= DUE then
      pass_over(DUE, id, record)
    elseif is_expired(record) then
      expire(id, record)
    elseif not record.chat_id then
      return id, record
    else
      local _, name = task_with(record, 'pending')
      local text = name == 'message' and redis.call('GET', text_key(id))
      if name ~= 'message' or text then return id, record, text or nil end
      fail_task(id, record, TEXT_LOST, 'text_lost', {})
    end
  end
end

-- How long until an event is due, by itself or because its call is overdue.
local function next_due_ms()
  local next_ms = MAX_WAIT_MS
  for _, queue in ipairs({DUE, CALLING}) do
    local first = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
    if first[2] then next_ms = math.min(next_ms, first[2] - now) end
  end
  return next_ms
end

-- An instant of the gate. One that no clock of ours can have meant is pulled in for good: clamped only when it is
-- read, it would stay just as far ahead until the clock that wrote it is reached.
local function gate_instant(gate, name, max_ahead_ms)
  local stored, latest = tonumber(gate[name] or 0), now + max_ahead_ms
  if stored > latest then redis.call('HSET', GATE, name, latest) end
  return math.min(stored, latest)
end

local function lease_probe(gate, scope)
  local leased_until = gate_instant(gate, 'probe_until:' .. scope, MAX_CALL_MS)
  local holder = gate['probe:' .. scope]
  if holder ~= arg.token and leased_until > now then
    return no_work('blocked', holder and POLL_MS or leased_until - now)
  end
  redis.call('HSET', GATE, 'probe:' .. scope, arg.token, 'probe_until:' .. scope, now + arg.lease_ms)
  return reply('probe')
end

-- Open: wait. Cooled down: one probe. Half-open: one create at a time.
local function check_breaker(gate)
  if gate.state == 'half_open' then
    local trial_until = gate_instant(gate, 'trial_until', MAX_CALL_MS)
    if trial_until > now and gate.trial ~= arg.token then return no_work('blocked', POLL_MS) end
  elseif gate.state then
    local open_until = gate_instant(gate, 'open_until', 2 * math.max(MAX_COOLDOWN_MS, arg.cooldown_ms))
    if open_until > now then return no_work('blocked', open_until - now) end
    return lease_probe(gate, 'breaker')
  end
end

-- The token bucket as GCRA, https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
-- Slowed down, a call costs more of the same bucket.
local function take_from_bucket(gate)
  local depth_ms = arg.burst * 1000 / arg.rate_per_second
  gate.slow_until = gate_instant(gate, 'slow_until', SLOW_MS)
  local cost_ms = 1000 / rate_of(gate)
  local full_ms = math.max(depth_ms, cost_ms)
  -- Counted from now: beside an instant its fractions are rounded, and one call might never fit.
  local ahead_ms = math.max(0, gate_instant(gate, 'tat', full_ms) - now) + cost_ms
  if ahead_ms > full_ms then return no_work('blocked', ahead_ms - full_ms) end
  redis.call('HSET', GATE, 'tat', string.format('%.3f', now + ahead_ms))
end

-- What the gate answers instead of a grant; nil: the call may be granted, and a token is taken for it.
local function check_gate(gate)
  if gate.paused_at then return no_work('blocked', MAX_WAIT_MS) end
  if not gate['way:' .. arg.way] then return lease_probe(gate, arg.way) end
  local paused_until = gate_instant(gate, 'pause_until', MAX_DELAY_MS)
  if paused_until > now then return no_work('blocked', paused_until - now) end
  return check_breaker(gate) or take_from_bucket(gate)
end

-- The user id that an earlier event's resolve found spares this one its own.
local function use_kept_user(record)
  if record.user_id or record.chat_id then return end
  local kept = redis.call('GET', key('member:' .. record.member_id))
  if kept then record.user_id, record.is_mapped = kept, true end
end

-- I1: the grant is stored before the worker receives it: `calling(attempt)`, if it is for a create.
local function grant(id, record, message_text, is_trial)
  if is_trial then
    redis.call('HSET', GATE, 'trial', arg.token, 'trial_until', now + arg.lease_ms)
  end
  use_kept_user(record)
  local attempt, until_ms, status = record.attempt + 1, now + arg.lease_ms, record.status
  local changes = {grant_token = arg.token, attempt = attempt}
  if record.chat_id then
    local task, name = task_with(record, 'pending')
    -- After two sends without an answer, or a refused one, one more look decides.
    task.look_only = (task.sends or 0) >= MAX_SENDS or task.refusal ~= nil or nil
    local delay_ms = name == 'message' and LOOK_DELAY_DEADLINES * (arg.lease_ms - LEASE_MARGIN_MS) or 0
    changes.task, changes.look_from_ms = name, until_ms + delay_ms
  elseif not record.user_id then
    changes.task = 'resolve'
  else
    status, changes.attempts = 'calling', record.attempts + 1
    changes.possible_orphan = record.unknowns ~= nil or record.possible_orphan
  end
  redis.call('SET', taken_key(arg.token), attempt .. ' ' .. id, 'PX', arg.lease_ms + TAKEN_MARGIN_MS)
  local text = transition(id, record, status, until_ms, changes)
  return reply('grant', id, text, changes.task, message_text)
end

-- For operators: which workers there are, and how many replicas confirm their writes.
local WORKER_MS = 15000

local function note_worker(gate)
  redis.call('ZREMRANGEBYSCORE', WORKERS, '-inf', now - WORKER_MS)
  redis.call('ZADD', WORKERS, now, arg.worker)
  if gate.min_replicas_acked ~= tostring(arg.min_replicas_acked) then
    redis.call('HSET', GATE, 'min_replicas_acked', arg.min_replicas_acked)
  end
end

local again = arg.may_grant and repeat_grant()
if again then return again end
begin_writing()
local gate = read_gate()
note_worker(gate)
follow_clock(gate)
clamp(CALLING, MAX_CALL_MS)
if not gate.late_until then clamp(DUE, MAX_DELAY_MS) end
end_lost_calls(gate)
local id, record, message_text = find_due()
if id and not arg.may_grant then return no_work('blocked', MAX_WAIT_MS) end
if id then return check_gate(gate) or grant(id, record, message_text, gate.state ~= nil) end
-- An idle worker probes its way, so that the first event need not wait for that.
if arg.may_grant and not gate['way:' .. arg.way] and not gate.paused_at then return lease_probe(gate, arg.way) end
redis.pcall('DEL', BELL)   -- nothing is due: whatever was rung for has been done
return no_work('idle', next_due_ms())
