-- Included by scripts that lead a record from one status to the next, its places in the sorted sets with it.

-- include changes

local TOMBSTONE_MS = 400000     -- outlives every `take` that may still be under way
local MAX_HISTORY = 64

local REPEATABLE = {released = true, throttled = true, denied = true, not_sent = true}

-- Adds an entry to the record's history: of an operator's command with who gave it and what it said. Repeats of
-- a harmless kind are counted, not listed. → the history
local function append_history(record, what, command)
  local history = record.history or {}
  local last = history[#history]
  if last and last.what == what and REPEATABLE[what] then
    last.at_ms, last.attempt, last.times = now, record.attempt, (last.times or 1) + 1
  else
    command = command or {}
    history[#history + 1] = {at_ms = now, what = what, attempt = record.attempt, by = command.by,
      action = command.action, chat_id = command.chat and command.chat.chat_id}
  end
  if #history > MAX_HISTORY then table.remove(history, 1) end
  return history
end

-- The first write of every transition is a removal: when memory is full, Redis refuses a script's first write
-- unless it frees memory, and lets the later ones pass.
local function dequeue(id)
  redis.call('ZREM', DUE, id)
  redis.call('ZREM', CALLING, id)
  redis.call('ZREM', HELD, id)
  redis.call('ZREM', FAILED, id)
end

-- → accepted: may be called from the instant `at` on.
local function schedule(id, record, at, changes)
  dequeue(id)
  redis.call('ZADD', DUE, at, id)
  changes.status, changes.grant_token, changes.failure = 'accepted', false, false
  update(id, record, changes)
  if at <= now then ring_bell() end
end

-- → opened or failed: settled, and gone once the deduplication window is over.
local function finish(id, record, status, changes)
  dequeue(id)
  changes.status, changes.settled_ms, changes.grant_token, changes.traceparent = status, now, false, false
  update(id, record, changes, 'PX', record.ttl_ms)
  redis.call('PUBLISH', SETTLED, id)
end

-- A failed event's record ends by itself; its entry goes here, oldest first.
local MAX_TRIMMED = 1000

local function trim_failed()
  for _, id in ipairs(redis.call('ZRANGE', FAILED, 0, MAX_TRIMMED - 1)) do
    if redis.call('EXISTS', event_key(id)) == 1 then return end
    redis.call('ZREM', FAILED, id)
  end
end

local function fail(id, record, failure, changes)
  changes.failure = failure
  finish(id, record, 'failed', changes)
  redis.call('ZADD', FAILED, now, id)
  trim_failed()
end

-- → opened. `changes` has the fields of the chat. I5: only a record without a chat may come here.
local function open(id, record, changes)
  changes.failure = false
  finish(id, record, 'opened', changes)
  redis.call('SET', key('chat:' .. record.chat_id), id, 'NX', 'PX', record.ttl_ms)
  local user = key('user:' .. record.user_id)
  redis.call('ZADD', user, now, id)
  redis.call('ZREMRANGEBYRANK', user, 0, -MAX_CHATS_OF_USER - 1)
  if redis.call('PTTL', user) < record.ttl_ms then redis.call('PEXPIRE', user, record.ttl_ms) end
end

-- The attempt ended, and may have created a chat. I3: from here to another call only by consent; the
-- configuration or the event itself consents once, and after that the event is held.
local function end_unknown(id, record, what, failure)
  local changes = {unknowns = (record.unknowns or 0) + 1, history = append_history(record, what)}
  if (record.on_unknown or arg.on_unknown) == 'recreate' and not record.consented then
    changes.consented = true
    return schedule(id, record, now + arg.recreate_delay_ms, changes)
  end
  dequeue(id)
  redis.call('ZADD', HELD, now, id)
  changes.status, changes.failure = 'unknown', failure
  update(id, record, changes)
  redis.call('PUBLISH', SETTLED, id)
end

-- Unknown attempts left after this one was proved void.
local function unknowns_without(record)
  if record.status ~= 'unknown' then return record.unknowns or false end
  local left = record.unknowns - 1
  return left > 0 and left or false
end

-- A repeat of an operator's command, after a lost reply, finds under the command's token that it was done.
local function mark_command_done(id)
  redis.call('SET', taken_key(arg.token), id, 'PX', TOMBSTONE_MS)
end

local function is_command_done(id)
  if redis.call('GET', taken_key(arg.token)) ~= id then return false end
  rewrite(id, redis.call('GET', event_key(id)))
  return true
end
