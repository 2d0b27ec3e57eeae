-- Included by scripts that lead a record from one status to the next, its places in the sorted sets with it.

-- include changes

local TOMBSTONE_MS = 400000     -- outlives every `take` that may still be under way
local MAX_HISTORY = 64

local TASKS = {'message', 'open'}   -- behind the create, in their order
local REPEATABLE = {released = true, throttled = true, denied = true, not_sent = true, look_failed = true}

-- Adds an entry to the record's history; `about` may have task (else that of the grant that is out), by, action and
-- chat_id (of an operator's command), and token (of an attempt that ended unknown). Repeats of a harmless kind are
-- counted, not listed. → the history
local function append_history(record, what, about)
  local history = record.history or {}
  local last = history[#history]
  about = about or {task = record.task}
  if last and last.what == what and last.task == about.task and REPEATABLE[what] then
    last.at_ms, last.attempt, last.times = now, record.attempt, (last.times or 1) + 1
  else
    history[#history + 1] = {at_ms = now, what = what, attempt = record.attempt, task = about.task, by = about.by,
      action = about.action, chat_id = about.chat_id, token = about.token}
  end
  if #history > MAX_HISTORY then table.remove(history, 1) end
  return history
end

-- → the first task behind the create that has this status, and its name
local function task_with(record, status)
  if not record.tasks then return nil end
  for _, name in ipairs(TASKS) do
    local task = record.tasks[name]
    if task and task.status == status then return task, name end
  end
end

-- Nothing more will be done.
local function is_complete(record)
  return record.status == 'failed' or record.status == 'opened' and not task_with(record, 'pending')
end

-- The set of an event, by its record; none for one that is opened and complete.
local function set_of(record)
  if record.status == 'unknown' then return HELD end
  if not is_complete(record) then return (record.grant_token or record.status == 'calling') and CALLING or DUE end
  if record.status == 'failed' or task_with(record, 'failed') then return FAILED end
end

-- A text is kept while its message may be sent, or an operator may redrive it.
local function is_text_needed(record)
  local status = record.tasks.message.status
  if status == 'skipped' then return record.status == 'failed' and not record.unknowns end
  return status ~= 'done'
end

-- The event's text and the look-up of its chat end with the record: in `left_ms`, or never (-1).
local function end_key(name, left_ms)
  if left_ms == -1 then
    redis.call('PERSIST', name)
  elseif left_ms > 0 then
    redis.call('PEXPIRE', name, left_ms)
  else
    redis.call('DEL', name)
  end
end

local function end_text(id, record, left_ms)
  if record.tasks.message then end_key(text_key(id), left_ms) end
end

local function end_chat(id, record, left_ms)
  local chat = record.chat_id and key('chat:' .. record.chat_id)
  if chat and redis.call('GET', chat) == id then end_key(chat, left_ms) end
end

local function leave_sets_but(set, id)
  for _, other in ipairs({DUE, CALLING, HELD, FAILED}) do
    if other ~= set then redis.call('ZREM', other, id) end
  end
end

-- Removes what the record as it is written needs no longer. The sets last: by its entry a take finds the event, and
-- tidies up.
local function remove_unneeded(id, record)
  if record.tasks and record.tasks.message and not is_text_needed(record) then redis.call('DEL', text_key(id)) end
  leave_sets_but(set_of(record), id)
end

-- Mends what is left of a script that was stopped half-way.
local function tidy_up(id, record)
  if record.tasks then
    local left_ms = redis.call('PTTL', event_key(id))
    end_text(id, record, left_ms)
    end_chat(id, record, left_ms)
  end
  remove_unneeded(id, record)
end

-- Wakes those that wait for the event, or a worker.
local function notify(id, record, at)
  if is_complete(record) or record.status == 'unknown' then redis.pcall('PUBLISH', SETTLED, id)
  elseif set_of(record) == DUE and at <= now then ring_bell() end
end

local function index_under(name, id, record, life_ms)
  redis.call('ZADD', name, record.settled_ms, id)
  redis.call('ZREMRANGEBYRANK', name, 0, -MAX_CHATS_OF_USER - 1)
  if redis.call('PTTL', name) < life_ms then redis.call('PEXPIRE', name, life_ms) end
end

-- Makes an opened chat findable. An entry whose record has no such chat, or another user's, is passed over by
-- look-ups.
local function index_chat(id, record)
  local is_over = is_complete(record)
  redis.call('SET', key('chat:' .. record.chat_id), id, 'NX', 'PX', record.ttl_ms)
  -- Tasks have EVENT_DEADLINE_SECONDS, which is a window at most; written again when they are over.
  local life_ms = is_over and record.ttl_ms or 2 * record.ttl_ms
  index_under(key('user:' .. record.user_id), id, record, life_ms)
  if record.member_id then index_under(key('member_chats:' .. record.member_id), id, record, life_ms) end
end

-- Writes the record with `status` and `changes`; `at` is its place in the set that it goes to. → the record's text
local function transition(id, record, status, at, changes)
  for name, value in pairs(changes) do record[name] = value or nil end
  record.status = status
  local is_over = is_complete(record)
  if is_over then record.grant_token, record.task, record.traceparent, record.denied = nil, nil, nil, nil end
  if record.v == TASKS_VERSION then record.completed_ms = is_over and now or nil end
  local set = set_of(record)
  if set then redis.call('ZADD', set, set == FAILED and now + record.ttl_ms or at, id) end
  if record.chat_id and not record.grant_token then index_chat(id, record) end
  if set == FAILED then redis.call('ZREMRANGEBYSCORE', FAILED, '-inf', now) end
  -- A key without an end would stay for ever where the script is stopped here; one that ends too soon is kept by the
  -- next transition.
  local left_ms = is_over and record.ttl_ms or -1
  if record.tasks then end_text(id, record, left_ms) end
  if record.tasks and is_over then end_chat(id, record, left_ms) end
  local text
  if is_over then text = update(id, record, {}, 'PX', left_ms) else text = update(id, record, {}) end
  if record.tasks and not is_over then end_chat(id, record, left_ms) end
  remove_unneeded(id, record)
  notify(id, record, at)
  return text
end

-- → due, from the instant `at` on: the create or its resolve and, once there is a chat, the tasks behind it.
local function schedule(id, record, at, changes)
  changes.grant_token, changes.task, changes.failure = false, false, false
  return transition(id, record, record.chat_id and 'opened' or 'accepted', at, changes)
end

-- Goes on with the next task, ahead of newer events; completes the event if none is left.
local function go_on(id, record, changes)
  changes.denied = false
  return schedule(id, record, clamped_instant(record.accepted_ms, 0), changes)
end

local function skip_tasks(record)
  local task = task_with(record, 'pending')
  while task do
    task.status = 'skipped'
    task = task_with(record, 'pending')
  end
end

local function fail(id, record, failure, changes)
  skip_tasks(record)
  changes.failure, changes.settled_ms = failure, now
  local text = transition(id, record, 'failed', now, changes)
  count_minute('failed')
  return text
end

-- → opened. `changes` has the fields of the chat. I5: only a record without a chat may come here. The tasks behind
-- the create have a deadline of their own.
local function open(id, record, changes)
  changes.settled_ms = now
  if task_with(record, 'pending') then changes.deadline_from_ms = now end
  for name, value in pairs(changes) do record[name] = value or nil end
  local text = go_on(id, record, {})
  count_minute('opened')
  return text
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
    count_minute('unknown')
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
  tidy_up(id, record)
  notify(id, record, now)
  return true
end
