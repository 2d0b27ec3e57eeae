-- Included by scripts that lead a record from one status to the next, its places in the sorted sets with it.

-- include changes

local TOMBSTONE_MS = 400000     -- outlives every `take` that may still be under way
local MAX_HISTORY = 64

local SET_OF = {accepted = DUE, calling = CALLING, unknown = HELD, failed = FAILED}
local REPEATABLE = {released = true, throttled = true, denied = true, not_sent = true}

-- Adds an entry to the record's history; `about` may have by, action and chat_id (of an operator's command), and
-- token (of an attempt that ended unknown). Repeats of a harmless kind are counted, not listed. → the history
local function append_history(record, what, about)
  local history = record.history or {}
  local last = history[#history]
  if last and last.what == what and REPEATABLE[what] then
    last.at_ms, last.attempt, last.times = now, record.attempt, (last.times or 1) + 1
  else
    about = about or {}
    history[#history + 1] = {at_ms = now, what = what, attempt = record.attempt, by = about.by,
      action = about.action, chat_id = about.chat_id, token = about.token}
  end
  if #history > MAX_HISTORY then table.remove(history, 1) end
  return history
end

local function is_settled(status) return status == 'opened' or status == 'failed' end

-- Removes the event from all sets but the one of its status: what is left of a script that was stopped half-way.
local function leave_other_sets(id, status)
  for _, set in ipairs({DUE, CALLING, HELD, FAILED}) do
    if set ~= SET_OF[status] then redis.call('ZREM', set, id) end
  end
end

-- Wakes those that wait for the event, or a worker.
local function notify(id, status, at)
  if is_settled(status) or status == 'unknown' then redis.pcall('PUBLISH', SETTLED, id) end
  if status == 'accepted' and at <= now then ring_bell() end
end

-- Makes an opened chat findable. An entry whose record has no such chat, or another user's, is passed over by
-- look-ups.
local function index_chat(id, record)
  redis.call('SET', key('chat:' .. record.chat_id), id, 'NX', 'PX', record.ttl_ms)
  local user = key('user:' .. record.user_id)
  redis.call('ZADD', user, now, id)
  redis.call('ZREMRANGEBYRANK', user, 0, -MAX_CHATS_OF_USER - 1)
  if redis.call('PTTL', user) < record.ttl_ms then redis.call('PEXPIRE', user, record.ttl_ms) end
end

-- Leads the record to `status`; `at` is its place in the set of that status. → the record's text
local function transition(id, record, status, at, changes)
  if SET_OF[status] then redis.call('ZADD', SET_OF[status], at, id) end
  for name, value in pairs(changes) do record[name] = value or nil end
  if status == 'opened' then index_chat(id, record) end
  if status == 'failed' then redis.call('ZREMRANGEBYSCORE', FAILED, '-inf', now) end
  local text
  if is_settled(status) then
    text = update(id, record, {status = status, settled_ms = now, grant_token = false, traceparent = false,
      denied = false}, 'PX', record.ttl_ms)
  else
    text = update(id, record, {status = status})
  end
  leave_other_sets(id, status)
  notify(id, status, at)
  return text
end

-- → accepted: may be called from the instant `at` on.
local function schedule(id, record, at, changes)
  changes.grant_token, changes.failure = false, false
  return transition(id, record, 'accepted', at, changes)
end

local function fail(id, record, failure, changes)
  changes.failure = failure
  return transition(id, record, 'failed', now + record.ttl_ms, changes)
end

-- → opened. `changes` has the fields of the chat. I5: only a record without a chat may come here.
local function open(id, record, changes)
  changes.failure = false
  return transition(id, record, 'opened', now, changes)
end

-- The attempt ended, and may have created a chat. I3: from here to another call only by consent; the
-- configuration or the event itself consents once, and after that the event is held.
local function end_unknown(id, record, what, failure)
  local changes = {
    unknowns = (record.unknowns or 0) + 1,
    history = append_history(record, what, {token = record.grant_token}),
  }
  if (record.on_unknown or arg.on_unknown) == 'recreate' and not record.consented then
    changes.consented = true
    schedule(id, record, now + arg.recreate_delay_ms, changes)
  else
    changes.failure = failure
    transition(id, record, 'unknown', now, changes)
  end
end

-- Unknown attempts left after this one was proved void.
local function unknowns_without(record)
  if record.status ~= 'unknown' then return record.unknowns or false end
  local left = record.unknowns - 1
  return left > 0 and left or false
end

-- A repeat of an operator's command, after a lost reply, finds in the record that it was done.
local function is_command_done(id, record)
  if record.command_token ~= arg.token then return false end
  begin_writing()
  leave_other_sets(id, record.status)
  notify(id, record.status, now)
  return true
end
