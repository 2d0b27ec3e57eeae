-- The records of several events, in their order; an event that is not kept has an empty text.
--
-- arg: event_ids
-- → {record, …}

-- include relay

local found = {}
for place, id in ipairs(arg.event_ids) do found[place] = redis.call('GET', event_key(id)) or '' end
return found
