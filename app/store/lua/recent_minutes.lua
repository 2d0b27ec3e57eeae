-- Counts of the newest minutes, the oldest first, the current one last.
--
-- arg: count
-- → {{start of the minute in ms, accepted, opened, failed, unknown}, …}

-- include relay
-- include changes

local counts, current = {}, math.floor(now / MINUTE_MS)
for minute = current - arg.count + 1, current do
  local found = redis.call('HMGET', key('minute:' .. minute), 'accepted', 'opened', 'failed', 'unknown')
  local row = {minute * MINUTE_MS}
  for place = 1, 4 do row[place + 1] = tonumber(found[place] or 0) end
  counts[#counts + 1] = row
end
return counts
