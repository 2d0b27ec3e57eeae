-- Pauses all calls for an operator, or resumes them. Deadlines of events go on.
--
-- arg: is_paused (as it is to be), by, token (of the command), confirm
-- → {'changed' | 'unchanged', paused_by}

-- include relay
-- include changes

local paused_by, token = unpack(redis.call('HMGET', GATE, 'paused_by', 'pause_token'))
begin_writing()
if token ~= arg.token and arg.is_paused == (paused_by ~= false) then return {'unchanged', paused_by or ''} end
-- A repeat finds its token, and does again what may have been stopped half-way.
if arg.is_paused then
  redis.call('HSET', GATE, 'paused_at', now, 'paused_by', arg.by, 'pause_token', arg.token)
else
  redis.call('HSET', GATE, 'pause_token', arg.token)
  redis.call('HDEL', GATE, 'paused_at', 'paused_by')
  ring_bell()
end
return {'changed', arg.by}
