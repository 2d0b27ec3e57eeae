-- Requests of wrk. Arguments: what (post or get), prefix of the ids, token, number of ids (0: no
-- limit). The bodies are those of tools/bench/events.py. Prints one line of JSON at the end.

local what, prefix, token, ids
local number = 0

function init(args)
  what, prefix, token, ids = args[1], args[2], args[3], tonumber(args[4])
end

local function post()
  local body = string.format('{"event_id":"%s-%08d","user_id":"6606508eaa71%08x","metadata":{"order":"%08d"}}',
    prefix, number, number, number)
  return 'POST /v1/events HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer ' .. token ..
    '\r\nContent-Type: application/json\r\nContent-Length: ' .. #body .. '\r\n\r\n' .. body
end

local function get()
  return string.format('GET /v1/events/%s-%08d HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer %s\r\n\r\n',
    prefix, number, token)
end

function request()
  local text = what == 'post' and post() or get()
  number = number + 1
  if number == ids then number = 0 end
  return text
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"answers": %d, "seconds": %.6f, "p99_ms": %.3f, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(99) / 1000, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
