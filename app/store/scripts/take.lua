-- Grants the next call, or says why there is none.
--
-- arg: token, may_grant (a worker without a free slot takes all the same, so that lost workers and expired events
--      are found: it gets neither grant nor probe), url (hash of the base URL), lease_ms, event_deadline_ms,
--      on_unknown, recreate_delay_ms, rate_per_second, burst, cooldown_ms, expired, lost (failures)
-- → {lost event ids, expired event ids, 'grant', event id, record}
--   {lost event ids, expired event ids, 'probe'}
--   {lost event ids, expired event ids, 'idle' (nothing is due) | 'blocked', ms to wait}

-- include relay
-- include transitions
-- include gate

local MAX_STEPS = 50
local MAX_WAIT_MS = 1000   -- of a sleep: an overdue call is looked for at least this often
local POLL_MS = 200        -- of a worker that waits for another worker's probe or trial
local TAKEN_MARGIN_MS = 60000
local lost, expired = {}, {}

local function reply(...) return {lost, expired, ...} end

local function no_work(why, ms)
  return reply(why, math.ceil(math.max(0, math.min(ms, MAX_WAIT_MS))))
end

-- A repeat of a `take` whose reply was lost: the same grant, or nothing if it is over.
local function repeat_grant()
  local id = redis.call('GET', taken_key(arg.token))
  if not id then return nil end
  local record, text = read(id)   -- an empty id has none: settled or released
  if not record or record.status ~= 'calling' or record.grant_token ~= arg.token then
    return no_work('blocked', 0)
  end
  rewrite(id, text)
  return reply('grant', id, text)
end

local function clamp(queue, max_ahead_ms)
  local latest = now + max_ahead_ms
  local ahead = redis.call('ZRANGEBYSCORE', queue, '(' .. latest, '+inf', 'LIMIT', 0, MAX_STEPS)
  for _, id in ipairs(ahead) do redis.call('ZADD', queue, latest, id) end
end

-- The member belongs in `queue` no longer, or its record is another release's to judge.
local function pass_over(queue, id, record)
  if record and not is_readable(record) then
    redis.call('ZADD', queue, now + RECHECK_MS, id)
    redis.call('ZADD', UNREADABLE, now, id)
  else
    redis.call('ZREM', queue, id)
  end
end

-- Calls that should be over by now are those of lost workers.
local function end_lost_calls()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', CALLING, '-inf', now, 'LIMIT', 0, MAX_STEPS)) do
    local record = read(id)
    if record and is_readable(record) and record.status == 'calling' then
      feed_back(record.grant_token, 'neutral')
      end_unknown(id, record, 'worker_lost', arg.lost)
      lost[#lost + 1] = id
    else
      pass_over(CALLING, id, record)
    end
  end
end

local function is_expired(record)
  return now - (record.deadline_from_ms or record.accepted_ms) > arg.event_deadline_ms
end

-- The first event that may be called, past what is cleaned up on the way; nil if there is none.
local function find_due()
  for _ = 1, MAX_STEPS do
    local id = redis.call('ZRANGEBYSCORE', DUE, '-inf', now, 'LIMIT', 0, 1)[1]
    if not id then return nil end
    local record = read(id)
    if not record or not is_readable(record) or record.status ~= 'accepted' then
      pass_over(DUE, id, record)
    elseif is_expired(record) then
      fail(id, record, arg.expired, {history = append_history(record, 'expired')})
      expired[#expired + 1] = id
    else
      return id, record
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
    if trial_until > now then return no_work('blocked', POLL_MS) end
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
  -- Counted from now: beside an instant its fractions are rounded, and one call might never fit.
  local ahead_ms = math.max(0, gate_instant(gate, 'tat', MAX_DELAY_MS + depth_ms) - now) + cost_ms
  local wait_ms = ahead_ms - math.max(depth_ms, cost_ms)
  if wait_ms > 0 then return no_work('blocked', wait_ms) end
  redis.call('HSET', GATE, 'tat', string.format('%.3f', now + ahead_ms))
end

-- What the gate answers instead of a grant; nil: the call may be granted, and a token is taken for it.
local function check_gate(gate)
  if not gate['url:' .. arg.url] then return lease_probe(gate, arg.url) end
  local paused_until = gate_instant(gate, 'pause_until', MAX_DELAY_MS)
  if paused_until > now then return no_work('blocked', paused_until - now) end
  return check_breaker(gate) or take_from_bucket(gate)
end

-- I1: `calling(attempt)` is stored before the worker receives its grant.
local function grant(id, record, is_trial)
  redis.call('ZREM', DUE, id)
  redis.call('ZADD', CALLING, now + arg.lease_ms, id)
  redis.call('SET', taken_key(arg.token), id, 'PX', arg.lease_ms + TAKEN_MARGIN_MS)
  if is_trial then
    redis.call('HSET', GATE, 'trial', arg.token, 'trial_until', now + arg.lease_ms)
  end
  local text = update(id, record, {
    status = 'calling', grant_token = arg.token, attempt = record.attempt + 1, attempts = record.attempts + 1,
    possible_orphan = record.unknowns ~= nil or record.possible_orphan,
  })
  return reply('grant', id, text)
end

local again = arg.may_grant and repeat_grant()
if again then return again end
redis.call('HDEL', GATE, '')   -- a removal first (see `dequeue`)
clamp(CALLING, MAX_CALL_MS)
clamp(DUE, MAX_DELAY_MS)
end_lost_calls()
local id, record = find_due()
if id and not arg.may_grant then return no_work('blocked', MAX_WAIT_MS) end
local gate = as_table(redis.call('HGETALL', GATE))
if id then return check_gate(gate) or grant(id, record, gate.state ~= nil) end
-- An idle worker probes its base URL, so that the first event need not wait for that.
if arg.may_grant and not gate['url:' .. arg.url] then return lease_probe(gate, arg.url) end
redis.call('DEL', BELL)   -- nothing is due: whatever was rung for has been done
return no_work('idle', next_due_ms())
