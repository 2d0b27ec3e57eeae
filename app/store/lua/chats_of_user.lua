-- The opened events of a user or a member, newest first. Skipped are those whose record is gone, and those whose id
-- was posted anew after that, perhaps for another user. A record of another release is returned: it may be one of
-- them.
--
-- arg: index ('user:<user_id>' or 'member_chats:<member_id>'), field (user_id or member_id), value, limit, confirm
-- → {{event id, record}, …}

-- include relay

confirm()
local found = {}
for _, id in ipairs(redis.call('ZREVRANGE', key(arg.index), 0, MAX_CHATS_OF_USER - 1)) do
  if #found >= arg.limit then break end
  local record, text = read(id)
  if record and (not is_readable(record) or record.chat_id and record[arg.field] == arg.value) then
    found[#found + 1] = {id, text}
  end
end
return found
