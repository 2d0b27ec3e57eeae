-- Writes settled events the way `settle` leaves them; tools/bench/fill.py checks that nothing differs.
-- KEYS[1]: the relay's tag. ARGV: prefix, first number, how many, instant (ms), TTL (ms), and the texts of the
-- record, of the user's and of the chat's id, in which %n stands for the number as 8 decimal digits and %x for
-- it as 8 hex digits.

local prefix, first, count, now, ttl = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
local tag = KEYS[1]

for number = first, first + count - 1 do
  local names = {['%n'] = string.format('%08d', number), ['%x'] = string.format('%08x', number)}
  local function named(text) return (string.gsub(text, '%%[nx]', names)) end
  local id, user = prefix .. '-' .. names['%n'], tag .. ':user:' .. named(ARGV[7])
  redis.call('SET', tag .. ':event:' .. id, named(ARGV[6]), 'PX', ttl)
  redis.call('SET', tag .. ':chat:' .. named(ARGV[8]), id, 'PX', ttl)
  redis.call('ZADD', user, now, id)
  redis.call('PEXPIRE', user, ttl)
end
