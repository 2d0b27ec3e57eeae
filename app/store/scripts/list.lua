-- The records of one status, those that have been so the longest first.
--
-- arg: status, offset, limit
-- → {{event id, record}, …}

local QUEUES = {accepted = DUE, calling = CALLING, unknown = HELD, failed = FAILED}
local found = {}
local ids = redis.call('ZRANGE', QUEUES[arg.status], arg.offset, arg.offset + arg.limit - 1)
for _, id in ipairs(ids) do
  local flat = redis.call('HGETALL', event_key(id))
  if #flat > 0 then found[#found + 1] = {id, flat} end
end
return found
