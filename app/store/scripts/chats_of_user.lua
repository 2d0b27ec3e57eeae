-- The user's opened events, newest first; those whose record is gone are skipped.
--
-- arg: user_id, limit
-- → {{event id, record}, …}

local found = {}
for _, id in ipairs(redis.call('ZREVRANGE', key('user:' .. arg.user_id), 0, MAX_CHATS_OF_USER - 1)) do
  if #found >= arg.limit then break end
  local flat = redis.call('HGETALL', event_key(id))
  if #flat > 0 then found[#found + 1] = {id, flat} end
end
return found
