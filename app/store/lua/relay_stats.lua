-- Counts the events of each kind and the workers, and reads the gate.
--
-- → {waiting, calling, held, failed, unreadable, workers, ms since the first in line began to wait (0: none), ms of
--    pause left, since when the first of those that wait after a denial do so (0: others wait as well, or none),
--    now, gate}

-- include relay
-- include changes

local MAX_CHECKED = 100   -- of the unreadable, those that no take has met for the longest time
local WORKER_MS = 15000

local first = redis.call('ZRANGE', DUE, 0, MAX_CHECKED - 1)

local function waited_ms()
  local record = first[1] and read(first[1])
  if not record or not is_readable(record) then return 0 end
  return math.max(0, now - (record.deadline_from_ms or record.accepted_ms))
end

-- As far as can be seen from the first in line.
local function denied_since()
  local since = 0
  for _, id in ipairs(first) do
    local record = read(id)
    if not record or not record.denied then return 0 end
    if since == 0 or record.denied.since_ms < since then since = record.denied.since_ms end
  end
  return since
end

-- Events of due and calling whose record takes met and could not read. One that is in neither any more, or whose
-- record this release reads, goes from the list here.
local function count_unreadable()
  for _, id in ipairs(redis.call('ZRANGE', UNREADABLE, 0, MAX_CHECKED - 1)) do
    local is_open = redis.call('ZSCORE', DUE, id) or redis.call('ZSCORE', CALLING, id)
    local record = is_open and read(id)
    if not record or is_readable(record) then redis.pcall('ZREM', UNREADABLE, id) end
  end
  return redis.call('ZCARD', UNREADABLE)
end

local pause_until = clamped_instant(redis.call('HGET', GATE, 'pause_until') or 0, MAX_DELAY_MS)
return {
  redis.call('ZCARD', DUE), redis.call('ZCARD', CALLING), redis.call('ZCARD', HELD),
  redis.call('ZCOUNT', FAILED, '(' .. now, '+inf'), count_unreadable(),
  redis.call('ZCOUNT', WORKERS, now - WORKER_MS, now + WORKER_MS), waited_ms(), math.max(0, pause_until - now),
  denied_since(), now, redis.call('HGETALL', GATE),
}
