<?php

namespace App;

final class Shout
{
    public static function out(string $text): string
    {
        return strtoupper($text) . '!';
    }
}
