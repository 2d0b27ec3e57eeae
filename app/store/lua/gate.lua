-- Included by scripts that read or change the gate: one breaker and one rate limiter for all replicas.
--
-- The gate's fields: `tat` (GCRA's theoretical arrival time), `pause_until`; after a 429 `slow_rate` (what the
-- rate fell to) and `slow_until`; `paused_at` and `paused_by` (an operator's pause, without an end of its own), and
-- `pause_token` of the last command about it;
-- the breaker's `state` (absent: closed, open, half_open), `failures` in a row, `denials` in a row, `reason`,
-- `open_until`, `cooldown_ms`, and the half-open trial's `trial` (token) and `trial_until`; `newest`, the instant
-- of the last `take`; after the clock went back `late_until` and `late_by`, while events are moved after it;
-- for operators' commands `min_replicas_acked`, as workers are set, and `stale_answers`, a count.
--
-- A way is the hash of all that a worker's calls have in common: base URL, version, key and secret. `way:<way>` is
-- there for each that a probe found good, `successes:<way>` counts what it is good for; `probe:<scope>` and
-- `probe_until:<scope>` are the token and the lease of the worker that probes a way or the breaker;
-- `probe_problem:<scope>`, `probe_failing_since:<scope>` and `probe_failed_at:<scope>` say why and since when
-- a probe fails.
local MAX_COOLDOWN_MS = 60000
local SLOW_MS = 60000
local DENIED_OPEN_MS = 1000
local DENIED_TRIAL_MS = 200   -- behind a good probe: other events may do better, and wait for it
local MAX_DENIALS = 2

local function read_gate()
  local flat, fields = redis.call('HGETALL', GATE), {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end

-- → attempt and event id of a grant; nothing where there is none any more
local function parse_taken(text)
  local attempt, id = string.match(text or '', '^(%d+) (.+)$')
  return tonumber(attempt), id
end

-- The calls a second to keep to: what a 429 left of the configured rate, growing back to it over a minute.
local function rate_of(gate)
  local left = (clamped_instant(gate.slow_until, SLOW_MS) - now) / SLOW_MS
  if left <= 0 then return arg.rate_per_second end
  local lowest = math.min(gate.slow_rate, arg.rate_per_second)
  return arg.rate_per_second - (arg.rate_per_second - lowest) * left
end

local function open_breaker(reason, open_ms)
  redis.call('HSET', GATE, 'state', 'open', 'reason', reason,
    'open_until', math.floor(now + open_ms * (1 + 0.2 * arg.random)))
  redis.call('HDEL', GATE, 'trial', 'trial_until', 'failures', 'denials', 'probe:breaker', 'probe_until:breaker')
  return 'open'
end

local function trip_breaker(gate, reason)
  local longest = math.max(MAX_COOLDOWN_MS, arg.cooldown_ms)
  local cooldown = gate.cooldown_ms and math.min(gate.cooldown_ms * 2, longest) or arg.cooldown_ms
  redis.call('HSET', GATE, 'cooldown_ms', cooldown)
  return open_breaker(reason, cooldown)
end

local function reset_breaker(gate)
  redis.call('HDEL', GATE, 'state', 'reason', 'cooldown_ms', 'open_until', 'failures', 'denials')
  return gate.state and 'closed' or ''
end

-- Counts an outcome: 'success', 'failure', 'denial' or 'neutral'. While the breaker is not closed only the
-- trial's outcome counts, so that calls from before it opened can neither close it nor keep it open.
-- → 'open' or 'closed' where that is what the breaker changed to, else ''
local function feed_back(gate, token, effect, reason)
  local is_trial = gate.trial == token
  if is_trial then redis.call('HDEL', GATE, 'trial', 'trial_until') end
  if effect == 'success' and arg.way then redis.call('HINCRBY', GATE, 'successes:' .. arg.way, 1) end
  if effect == 'denial' then redis.call('HDEL', GATE, 'way:' .. arg.way) end   -- to be probed before the next call
  if gate.state and not is_trial or effect == 'neutral' then return '' end
  if effect == 'success' then return reset_breaker(gate) end
  if effect == 'denial' then
    local is_first = not gate.state and redis.call('HINCRBY', GATE, 'denials', 1) < MAX_DENIALS
    return is_first and '' or open_breaker(reason, gate.state and DENIED_TRIAL_MS or DENIED_OPEN_MS)
  end
  if gate.state or redis.call('HINCRBY', GATE, 'failures', 1) >= arg.threshold then
    return trip_breaker(gate, reason)
  end
  return ''
end
