-- Included by scripts that read or change the gate: one breaker and one rate limiter for all replicas.
--
-- The gate's fields: `tat` (GCRA's theoretical arrival time), `pause_until`; after a 429 `slow_rate` (what the
-- rate fell to) and `slow_until`; the breaker's `state` (absent: closed, open, half_open), `failures` in a row,
-- `reason`, `open_until`, `cooldown_ms`, and the half-open trial's `trial` (token) and `trial_until`;
-- `url:<hash>` for each base URL that a probe found good; `probe:<scope>` and `probe_until:<scope>`, the token and
-- the lease of the worker that probes the breaker or a base URL.
local MAX_COOLDOWN_MS = 60000
local SLOW_MS = 60000

local function as_table(flat)
  local fields = {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end

-- The calls a second to keep to: what a 429 left of the configured rate, growing back to it over a minute.
local function rate_of(gate)
  local left = (clamped_instant(gate.slow_until, SLOW_MS) - now) / SLOW_MS
  if left <= 0 then return arg.rate_per_second end
  local lowest = math.min(gate.slow_rate, arg.rate_per_second)
  return arg.rate_per_second - (arg.rate_per_second - lowest) * left
end

local function trip_breaker(gate, reason)
  local longest = math.max(MAX_COOLDOWN_MS, arg.cooldown_ms)
  local cooldown = gate.cooldown_ms and math.min(gate.cooldown_ms * 2, longest) or arg.cooldown_ms
  redis.call('HDEL', GATE, 'trial', 'trial_until', 'failures', 'probe:breaker', 'probe_until:breaker')
  redis.call('HSET', GATE, 'state', 'open', 'reason', reason, 'cooldown_ms', cooldown,
    'open_until', math.floor(now + cooldown * (1 + 0.2 * arg.random)))
  return 'open'
end

local function reset_breaker(gate)
  redis.call('HDEL', GATE, 'state', 'reason', 'cooldown_ms', 'open_until', 'failures')
  return gate.state and 'closed' or ''
end

-- Counts an outcome: 'success', 'failure', 'trip' or 'neutral'. While the breaker is not closed only the trial's
-- outcome counts, so that calls from before it opened can neither close it nor keep it open.
-- → 'open' or 'closed' where that is what the breaker changed to, else ''
local function feed_back(token, effect, reason)
  local gate = as_table(redis.call('HGETALL', GATE))
  local is_trial = gate.trial == token
  if is_trial then redis.call('HDEL', GATE, 'trial', 'trial_until') end
  if gate.state and not is_trial or effect == 'neutral' then return '' end
  if effect == 'success' then return reset_breaker(gate) end
  if gate.state or effect == 'trip' or redis.call('HINCRBY', GATE, 'failures', 1) >= arg.threshold then
    return trip_breaker(gate, reason)
  end
  return ''
end
