-- A page of one sorted set, those that have been there the longest first.
--
-- arg: set (due, calling, held or failed), limit (how many are looked at); after_score and after_id (of the last of
--      the page before); field (user_id or member_id) and value, if only this person's are wanted; until_ms, if none
--      of a higher score is
-- → {now, how many were looked at, score and id of the last of them ('' for none), {{event id, record, score}, …}}
--   false for the record of an event that is not kept

-- include relay
-- include changes

local set = key(arg.set)

-- By bytes, as Redis orders members of one score: Lua's `<` depends on the locale.
local function is_behind(id, other)
  for place = 1, #id do
    local mine, its = string.byte(id, place), string.byte(other, place) or -1
    if mine ~= its then return mine > its end
  end
  return false
end

-- The rank of the first behind the last page, whatever has left the set or come to it since.
local function first_rank()
  if not arg.after_score then
    -- Of the failed not those whose records have ended.
    return set == FAILED and redis.call('ZCOUNT', set, '-inf', now) or 0
  end
  local low = redis.call('ZCOUNT', set, '-inf', '(' .. arg.after_score)
  local high = redis.call('ZCOUNT', set, '-inf', arg.after_score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local is_next = is_behind(redis.call('ZRANGE', set, middle, middle)[1], arg.after_id)
    if is_next then high = middle else low = middle + 1 end
  end
  return low
end

local first = first_rank()
local page = redis.call('ZRANGE', set, first, first + arg.limit - 1, 'WITHSCORES')
local found, looked_at, last_score, last_id = {}, 0, '', ''
for place = 1, #page, 2 do
  local id, score = page[place], page[place + 1]
  if arg.until_ms and tonumber(score) > arg.until_ms then break end
  looked_at, last_score, last_id = looked_at + 1, score, id
  local record, text = read(id)
  if not record or not arg.field or record[arg.field] == arg.value then
    found[#found + 1] = {id, text or false, score}
  end
end
return {now, looked_at, last_score, last_id, found}
