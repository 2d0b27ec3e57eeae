-- One record, with all of its fields.
--
-- arg: event_id
-- → record | {}

return redis.call('HGETALL', event_key(arg.event_id))
