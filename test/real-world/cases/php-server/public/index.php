<?php

declare(strict_types=1);

require __DIR__ . '/../vendor/autoload.php';

use App\Shout;

header('Content-Type: text/plain');
$path = trim(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH), '/');
echo Shout::out($path ?: 'php'), ' ', ini_get('memory_limit'), "\n";
