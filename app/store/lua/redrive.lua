-- Tries a failed event again for an operator, if no attempt can have made a chat; of an opened one the failed task,
-- and the one that was skipped because of it.
--
-- arg: event_id, by, token (of the command); code, if only a failure with that code is to be tried again; confirm
-- → {'redriven', record} | {'missing'} | {'not_failed', status} | {'other_code'} | {'uncertain'} | {'newer'}

-- include relay
-- include transitions

local id = arg.event_id
local record, text = read(id)
if not record then return {'missing'} end
if not is_readable(record) then return {'newer'} end
if is_command_done(id, record) then return {'redriven', text} end
local failed = task_with(record, 'failed')
if record.status ~= 'failed' and not failed then return {'not_failed', record.status} end
if arg.code and (failed or record).failure.code ~= arg.code then return {'other_code'} end
if record.status == 'failed' and record.unknowns then return {'uncertain'} end

begin_writing()
local history = append_history(record, 'redriven', {by = arg.by})
local changes = {deadline_from_ms = now, command_token = arg.token, history = history}
local at = now
if failed then
  at = clamped_instant(record.accepted_ms, 0)
  -- I6: still only after what may have been sent can be seen.
  if failed.unanswered then at = math.max(at, clamped_instant(record.look_from_ms, MAX_LOOK_DELAY_MS)) end
else
  changes.settled_ms = false
  -- The kept user id may be why it failed.
  if record.member_id then changes.user_id, changes.is_mapped, changes.is_resolved_again = false, false, false end
end
for _, task in pairs(record.tasks or {}) do
  if task.status ~= 'done' then task.status, task.failure, task.sends = 'pending', nil, nil end
end
return {'redriven', schedule(id, record, at, changes)}
