-- Writes settled events the way `settle` leaves them; tests/bench/fill.py checks that nothing differs.
-- KEYS[1]: the relay's tag. ARGV: prefix, first number, how many, instant (ms), then the record's fields,
-- in which %n stands for the number as 8 decimal digits and %x for it as 8 hex digits.

local prefix, first, count, now = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local tag, ttl = KEYS[1], 0

for number = first, first + count - 1 do
  local names = {['%n'] = string.format('%08d', number), ['%x'] = string.format('%08x', number)}
  local id = prefix .. '-' .. names['%n']
  local fields, record = {}, {}
  for place = 5, #ARGV do fields[place - 4] = (string.gsub(ARGV[place], '%%[nx]', names)) end
  for place = 1, #fields, 2 do record[fields[place]] = fields[place + 1] end
  redis.call('HSET', tag .. ':event:' .. id, unpack(fields))
  redis.call('PEXPIRE', tag .. ':event:' .. id, record.ttl)
  redis.call('SET', tag .. ':chat:' .. record.chat_id, id, 'PX', record.ttl)
  redis.call('ZADD', tag .. ':user:' .. record.user, now, id)
  redis.call('PEXPIRE', tag .. ':user:' .. record.user, record.ttl)
end
