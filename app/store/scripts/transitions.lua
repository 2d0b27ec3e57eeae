-- How a record goes from one status to the next, its places in the queues with it.

-- include changes

local TOMBSTONE_MS = 400000     -- outlives every `take` that may still be under way
local MAX_HISTORY = 64

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
  changes.status, changes.settled, changes.token, changes.traceparent = status, now, false, false
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
  write_again(id, redis.call('GET', event_key(id)))
  return true
end
