-- As wrk.lua; and each request is for another page, drawn from as many as the argument says.
dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "wrk.lua")

local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("seed", threads)
end

function init(arguments)
  math.randomseed(seed)
  pages = tonumber(arguments[1])
  path = wrk.path
end

request = function()
  return wrk.format("GET", path .. math.random(0, pages - 1))
end
