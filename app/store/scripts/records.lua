-- The records of several events, in their order.
--
-- arg: event_ids
-- → {record, …}; false for an event that is not kept

-- include relay

local found = {}
for place, id in ipairs(arg.event_ids) do found[place] = redis.call('GET', event_key(id)) end
return found
