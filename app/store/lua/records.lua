-- The records of several events, in their order.
--
-- arg: event_ids, confirm
-- → {record, …}; false for an event that is not kept

-- include relay

confirm()
local found = {}
for place, id in ipairs(arg.event_ids) do
  local record, text = read(id)
  found[place] = record and text or false
end
return found
