-- The ids of a user's or a member's newest opened events, those of removed records too.
--
-- arg: index ('user:<user_id>' or 'member_chats:<member_id>')
-- → {event id, …}

-- include relay

return redis.call('ZREVRANGE', key(arg.index), 0, -1)
