-- The ids of a user's newest opened events, those of removed records too.
--
-- arg: user_id
-- → {event id, …}

-- include relay

return redis.call('ZREVRANGE', key('user:' .. arg.user_id), 0, -1)
