require_relative '../lib/greeter'
abort 'wrong' unless Greeter.text('/ruby') == "Hello Ruby\n"
