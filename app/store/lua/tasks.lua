-- Included by scripts that end a task behind the create: the message, then the open.
--
-- I6: a message goes to the published chat only, and again only after a look, begun after the deadline of every
-- earlier send, that reached the chat's first message without finding ours; never a third time, unless an operator
-- redrives it.

local MAX_SENDS = 2
local CERTAIN = {rejected = true, expired = true, abandoned = true}   -- only where nothing can have been sent
local NO_ANSWER = {code = 'no_answer', detail = 'It was sent, and no answer came: Channel.io may have done it.'}

-- Fails the task, and skips an open behind a message. Once opened, nothing fails the event. → the record's text
local function fail_task(id, record, failure, what, changes)
  local task, name = task_with(record, 'pending')
  failure = task.refusal or failure
  if CERTAIN[failure.code] and task.unanswered then failure = NO_ANSWER end
  task.status, task.failure, task.look_only, task.refusal = 'failed', failure, nil, nil
  skip_tasks(record)
  changes.history = append_history(record, what, {task = name, by = changes.by})
  changes.by = nil
  return go_on(id, record, changes)
end

-- The grant may have sent it. I6: the next look begins when that can no longer arrive unseen.
local function leave_unanswered(id, record, what)
  local task, name = task_with(record, 'pending')
  if not task.look_only then
    task.attempts = (task.attempts or 0) + 1
    task.sends = (task.sends or 0) + 1
    task.unanswered = (task.unanswered or 0) + 1
  end
  schedule(id, record, record.look_from_ms, {history = append_history(record, what, {task = name})})
end
