-- Tries every command that the scripts use and every key that they touch, and changes nothing of the relay's.
--
-- ARGV[1]: anything, where only EVALSHA itself is tried
-- → {{command, key or channel, what Redis replied}, …}: what is forbidden or refused

if ARGV[1] then return {} end

local TTL_MS = 10000   -- of what is left behind where a removal is refused

local function key(name) return KEYS[1] .. ':' .. name end

local STRING, HASH, ZSET, LIST = key('audit:string'), key('audit:hash'), key('audit:zset'), key('audit:list')

-- SET first: Redis refuses a script's first write when memory is full, and after a removal lets the others pass.
-- The element of the list stays for BLPOP, which is tried behind this script.
local COMMANDS = {
  {'SET', STRING, '1', 'PX', TTL_MS}, {'GET', STRING}, {'MGET', STRING}, {'PTTL', STRING}, {'PERSIST', STRING},
  {'HSET', HASH, 'field', 1}, {'PEXPIRE', HASH, TTL_MS}, {'HINCRBY', HASH, 'field', 1}, {'HGET', HASH, 'field'},
  {'HMGET', HASH, 'field'}, {'HGETALL', HASH}, {'HDEL', HASH, 'field'},
  {'ZADD', ZSET, 1, 'member'}, {'PEXPIRE', ZSET, TTL_MS}, {'ZCARD', ZSET}, {'ZSCORE', ZSET, 'member'},
  {'ZRANK', ZSET, 'member'}, {'ZRANGE', ZSET, 0, -1}, {'ZREVRANGE', ZSET, 0, -1},
  {'ZRANGEBYSCORE', ZSET, '-inf', '+inf'}, {'ZCOUNT', ZSET, '-inf', '+inf'}, {'ZREMRANGEBYRANK', ZSET, 1, -1},
  {'ZREMRANGEBYSCORE', ZSET, 2, 2}, {'ZREM', ZSET, 'member'},
  {'DEL', STRING}, {'DEL', LIST}, {'LPUSH', LIST, 1}, {'PEXPIRE', LIST, TTL_MS}, {'LLEN', LIST},
  {'TIME'}, {'PUBLISH', key('settled'), ''},
}

-- An ACL may name keys one by one. Nothing has an empty id, and no hash an empty field.
local KEYS_OF_RELAY = {KEYS[1], key('event:'), key('due'), key('calling'), key('held'), key('failed'),
  key('unreadable'), key('bell'), key('taken:'), key('user:'), key('chat:'), key('gate'), key('workers'),
  key('confirmed'), key('forgotten:'), key('text:'), key('member:'), key('member_chats:'), key('minute:')}

local refused, is_refused = {}, {}

local function try(...)
  local reply = redis.pcall(...)
  local message = type(reply) == 'table' and reply.err
  -- Redis looks at the permission before the type.
  if message and not string.find(message, '^WRONGTYPE') then
    local command, place = ...
    refused[#refused + 1] = {command, place or '', message}
    is_refused[command] = true
  end
end

for _, command in ipairs(COMMANDS) do try(unpack(command)) end
local may_read, may_write = not is_refused.HGET, not is_refused.HDEL
for _, name in ipairs(KEYS_OF_RELAY) do
  if may_read then try('HGET', name, '') end
  if may_write then try('HDEL', name, '') end
end
return refused
